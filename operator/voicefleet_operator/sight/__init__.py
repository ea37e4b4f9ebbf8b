"""What is seen of the cluster, and what keeps our copy of it true."""
