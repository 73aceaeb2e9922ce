package main

// nodes measures what is promised of nodes, in QEMU.
func (r *recorder) nodes() error {
	out, err := r.command("go", "test", "-v", "-run", "^$", "-bench", "^BenchmarkNodes$", "-benchtime", "1x", "-timeout", "1h", "./tests/cluster", "-qemu")
	r.found.read(out)
	return err
}

// nodeFigures returns the figures of nodes in their order. One without target
// explains the one before it.
func (m measured) nodeFigures() []figure {
	get := func(name, unit string) float64 { return m["BenchmarkNodes/"+name][unit] }
	return []figure{
		{what: "release", value: get("release", "MB"), unit: "MB", most: 80},
		{what: "release as it is sent", value: get("release", "sent-MB"), unit: "MB", most: 35, remark: "zstd"},
		{what: "release and disk image are built", value: get("release", "build-s"), unit: "s", most: 40, remark: "a second time"},
		{what: "five nodes, from launch to all healthy", value: get("five", "healthy-s"), unit: "s", most: 60, remark: "formatted and deployed before"},
		{what: "  to all agents", value: get("five", "agents-s"), unit: "s"},
		{what: "unchanged documents for five nodes", value: get("five", "unchanged-s"), unit: "s", most: 2},
		{what: "a node with one service, to healthy", value: get("one", "healthy-s"), unit: "s", most: 12, remark: "from the start of QEMU"},
		{what: "  to its agent", value: get("one", "agents-s"), unit: "s"},
		{what: "an idle node with every service", value: get("every", "used-MB"), unit: "MB", most: 200, remark: "MemTotal without MemAvailable"},
	}
}
