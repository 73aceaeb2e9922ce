// Command panics is the init of a release that fails: it ends, and the kernel
// panics.
package main

func main() {}
