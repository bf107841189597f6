"""What a plan looks like as Kubernetes objects. Pure: configurations in, plain dictionaries out."""
