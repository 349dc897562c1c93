package config

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"ermine/etc"
)

var update = flag.Bool("update", false, "write ../../etc/node.conf from the schema")

// TestShippedFile holds etc/node.conf to the schema: it is what Sample makes, it
// loads without a warning other than that of the cookie, and both as it is and
// with every commented line put into effect it is the default configuration.
func TestShippedFile(t *testing.T) {
	if *update {
		if err := os.WriteFile("../../etc/node.conf", Sample(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile("../../etc/node.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, Sample()) {
		t.Fatal("etc/node.conf differs from the schema; go test ./node/config -run TestShippedFile -update writes it anew")
	}
	if !*update && !bytes.Equal(shipped, etc.Read(etc.NodeConf)) {
		t.Error("the embedded file is another one")
	}

	var everything bytes.Buffer
	uncommented := 0
	for line := range strings.Lines(string(shipped)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			line = rest
			uncommented++
		}
		everything.WriteString(line)
	}
	if uncommented < 100 {
		t.Errorf("only %d commented keys", uncommented)
	}
	want := Default()
	for name, text := range map[string][]byte{"as shipped": shipped, "with every line in effect": everything.Bytes()} {
		cfg, report, err := Load(Options{
			File:     "etc/node.conf",
			ReadFile: func(string) ([]byte, error) { return text, nil },
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(cfg, want) {
			t.Errorf("%s, it is not the default:\n%s", name, Dump(cfg, "", true))
		}
		if lines := report.Lines(); len(lines) != 1 || !strings.Contains(lines[0], "default cookie") {
			t.Errorf("%s, it reports %q", name, lines)
		}
	}
}

// TestShippedFileIsComplete holds that each key that works is in the file, with
// its default and its doc line.
func TestShippedFileIsComplete(t *testing.T) {
	text := string(etc.Read(etc.NodeConf))
	flat := strings.Join(strings.Fields(strings.ReplaceAll(text, "\n##", " ")), " ")
	for _, k := range Keys() {
		if k.Effect != Works {
			continue
		}
		path := k.Path
		switch segs := strings.Split(path, "."); {
		case strings.Contains(path, ".$n."):
			path = "## " + segs[len(segs)-1] + ":"
		case segs[0] == "zones" && segs[2] == "mqtt":
			path = "mqtt." + segs[3] + " ="
		case segs[0] == "listeners":
			typ := segs[1]
			switch {
			case segs[3] == "bind":
			case segs[3] == "ssl_options":
				typ = "ssl"
			case segs[3] == "websocket":
				typ = "ws"
			default:
				typ = "tcp"
			}
			path = "listeners." + typ + ".default." + strings.Join(segs[3:], ".") + " = "
		default:
			path = strings.Replace(path, "$name", "<name>", 1) + " = "
		}
		if !strings.Contains(text, path) && !strings.Contains(flat, strings.TrimPrefix(path, "## ")) {
			t.Errorf("%s is not in etc/node.conf", k.Path)
		}
		if k.Doc == "" || !strings.Contains(flat, strings.Join(strings.Fields(k.Doc), " ")) {
			t.Errorf("the line about %s is not in etc/node.conf", k.Path)
		}
	}
}
