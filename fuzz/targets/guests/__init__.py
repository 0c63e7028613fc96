"""Whole guests whose virtio drivers are under test: a kernel, a file system in memory, and the agent that runs there.

``kernels`` finds what is installed, ``agent`` builds, ``initramfs`` packs; ``console`` hears what a guest says,
``machine_uml`` and ``machine_qemu`` run one. They know no program, and serve no device.
"""
