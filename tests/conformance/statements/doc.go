// Package statements knows the numbered normative statements of MQTT 3.1.1 and
// 5.0 and finds those that no test names.
//
// # How a test names a statement
//
// The identifier stands in the test's name as the standard prints it, with the
// version of the standard before it, since 3.1.1 and 5.0 use many identifiers
// for different things:
//
//	t.Run("v5 [MQTT-3.3.1-9] retain handling 0", …)
//	{name: "v3.1.1 [MQTT-3.8.4-3] same filter twice", …}
//	func TestV5_MQTT_3_8_3_4_NoLocalOnShared(t *testing.T)
//
// Versions are written v5, v5.0, v3, v3.1.1, v311, or "MQTT 5" and "MQTT 3.1.1",
// in any case. A name without one takes the version of the function it stands
// in, then that of its file (connect_v5_test.go). One name may carry several
// identifiers, and both versions, when it holds for both. Where no version can
// be told, an identifier counts for every standard that has it if it means the
// same in all of them (the listings restate it in the same words then), else for
// none, and is listed as ambiguous.
//
// Names are the names of Test and Fuzz functions and the string literals of
// test files, but for those that are only printed (arguments of Error, Fatal,
// Log, Skip and their kin). Comments do not count: a citation is not a test.
//
// # Files
//
// testdata/mqtt-3.1.1.tsv and mqtt-5.0.tsv list the statements and whom they
// bind; testdata/untested.tsv lists those without a test that are let pass,
// each with its reason. `go run ./tests/conformance/statements/list` prints
// where things stand.
package statements
