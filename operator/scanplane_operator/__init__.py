"""The Kubernetes operator: custom resources in, rolled-out workloads and honest status out."""
