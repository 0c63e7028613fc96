"""What OSS-Fuzz and ClusterFuzzLite need beside our harnesses, and a check of their contract without docker."""
