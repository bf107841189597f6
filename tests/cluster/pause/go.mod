// The pause container of the test cluster; only the standard library.
module scanplane.io/tests/cluster/pause

go 1.26.0
