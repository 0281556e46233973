"""Where private keys are kept: files, AWS Secrets Manager, AWS SSM. One adapter a file; none signs or publishes."""
