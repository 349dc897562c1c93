// Package interop holds the tests that need a real Erlang node: what an Ermine
// node and an OTP node say to each other, in both directions. They start erl
// themselves, on loopback and on free ports, and fail where it is missing;
// make test-deps installs it.
package interop
