/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included by <linux/virtio.h> since 7.3; tools/virtio of that tree does not have it. */
#include <linux/mod_devicetable.h>
