package etf

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
)

// A golden is one line of testdata/golden.txt, which golden.escript explains.
type golden struct {
	input, canonical []byte
	text, expr       string
}

func goldens(tb testing.TB) []golden {
	tb.Helper()
	file, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []golden
	for i, line := range strings.Split(strings.TrimSuffix(string(file), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			tb.Fatalf("line %d has %d columns", i+1, len(f))
		}
		g := golden{text: f[2], expr: f[3]}
		if g.input, err = hex.DecodeString(f[0]); err != nil {
			tb.Fatalf("line %d: %v", i+1, err)
		}
		if g.canonical = g.input; f[1] != "=" {
			if g.canonical, err = hex.DecodeString(f[1]); err != nil {
				tb.Fatalf("line %d: %v", i+1, err)
			}
		}
		all = append(all, g)
	}
	if len(all) < 200 {
		tb.Fatalf("only %d golden lines", len(all))
	}
	return all
}

// decoders are all ways in which a Decoder can use memory.
var decoders = map[string]DecodeOptions{
	"copy":        {},
	"alias":       {AliasInput: true},
	"reuse":       {Reuse: true},
	"reuse alias": {Reuse: true, AliasInput: true},
}

// TestGolden decodes what a real Erlang node wrote, and wants the bytes back
// that it writes for the same term.
func TestGolden(t *testing.T) {
	for name, opt := range decoders {
		d := NewDecoder(opt)
		for _, g := range goldens(t) {
			term, err := d.Decode(g.input)
			if err != nil {
				t.Errorf("%s: %s: %v", name, g.expr, err)
				continue
			}
			out, err := Append(nil, term)
			if err != nil {
				t.Errorf("%s: %s: %v", name, g.expr, err)
			} else if !bytes.Equal(out, g.canonical) {
				t.Errorf("%s: %s: encoded as\n%x, Erlang writes\n%x", name, g.expr, out, g.canonical)
			}
			if text := Format(term); g.text != "-" && text != g.text {
				t.Errorf("%s: %s: printed as %s, Erlang prints %s", name, g.expr, text, g.text)
			}
			d.Reset()
		}
	}
}

// TestGoldenTruncated cuts every golden input short at every byte: each is an
// error that lies within the input.
func TestGoldenTruncated(t *testing.T) {
	for _, g := range goldens(t) {
		for n := range min(len(g.input), 200) {
			_, err := Decode(g.input[:n])
			var e *DecodeError
			if !errors.As(err, &e) {
				t.Fatalf("%s cut to %d bytes: error %v", g.expr, n, err)
			}
			if !e.Inflated && e.Offset > n {
				t.Fatalf("%s cut to %d bytes: offset %d", g.expr, n, e.Offset)
			}
		}
	}
}

// TestGoldenText reads the text that Erlang prints for a term, and wants that
// term.
func TestGoldenText(t *testing.T) {
	for _, g := range goldens(t) {
		if g.text == "-" {
			continue
		}
		term, err := Decode(g.input)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(g.text)
		if err != nil {
			t.Errorf("%s: %v", g.text, err)
		} else if !Equal(term, parsed) {
			t.Errorf("%s: parsed as %s", g.text, Format(parsed))
		}
	}
}
