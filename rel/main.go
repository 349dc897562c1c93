package main

import "os"

// version is stamped in by the build.
var version = "0.0.0+dev"

func main() {
	p := &program{args: os.Args[1:], env: os.Environ(), in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(p.run())
}
