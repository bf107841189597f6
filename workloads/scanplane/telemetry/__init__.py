"""What a workload tells of itself: logs, metrics, traces, and the small HTTP server that shows them."""
