"""What the operator types. The process that carries calls imports nothing of this."""
