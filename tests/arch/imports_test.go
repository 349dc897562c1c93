package arch

import (
	"fmt"
	"slices"
	"testing"
)

// rule forbids the packages within from to import what lies within to. Both
// are path prefixes: "ermine/actors" stands for that package and all below it.
type rule struct{ from, to, why string }

// layers says who may not import whom inside the module.
var layers = []rule{
	{"ermine/actors", "ermine/node", "another node is reached through the small interface that node implements"},
	{"ermine/actors", "ermine/mqtt", "mqtt stands on actors; a connection is an interface to a session"},
	{"ermine/actors", "ermine/discovery", "member changes arrive in actors as messages"},
	{"ermine/discovery", "ermine/actors", "discovery finds peers and knows nothing else"},
	{"ermine/discovery", "ermine/node", "node stands on discovery"},
	{"ermine/discovery", "ermine/mqtt", "discovery finds peers and knows nothing else"},
	{"ermine/mqtt", "ermine/node", "the wire knows the actors only"},
	{"ermine/mqtt", "ermine/discovery", "the wire knows the actors only"},
	{"ermine/node", "ermine/mqtt", "rel joins node and mqtt"},
	{"ermine/actors", "ermine/rel", "nothing imports the release"},
	{"ermine/discovery", "ermine/rel", "nothing imports the release"},
	{"ermine/mqtt", "ermine/rel", "nothing imports the release"},
	{"ermine/node", "ermine/rel", "nothing imports the release"},
	{"ermine/etc", "ermine/rel", "nothing imports the release"},
	{"ermine/actors", "ermine/tests", "nothing imports the tests"},
	{"ermine/discovery", "ermine/tests", "nothing imports the tests"},
	{"ermine/mqtt", "ermine/tests", "nothing imports the tests"},
	{"ermine/node", "ermine/tests", "nothing imports the tests"},
	{"ermine/rel", "ermine/tests", "nothing imports the tests"},
	{"ermine/etc", "ermine/tests", "nothing imports the tests"},
}

// home holds a third-party library to the folders that may import it. The
// release and the tests compose everything and may import all.
type home struct {
	library string
	folders []string
	why     string
	// testsMay lets test files import it wherever they are.
	testsMay bool
}

var homes = []home{
	{"ergo.services", []string{"ermine/node"}, "the node-level runtime has one home", false},
	{"github.com/ergo-services", []string{"ermine/node"}, "the node-level runtime has one home", false},
	{"github.com/asynkron/protoactor-go", []string{"ermine/actors"}, "the client-level runtime has one home", false},
	{"github.com/mochi-mqtt/server", []string{"ermine/mqtt"}, "the MQTT library has one home", false},
	{"github.com/spf13/viper", []string{"ermine/node/config"}, "settings reach the rest as Config values", false},
	{"github.com/eclipse", nil, "client libraries are for tests", true},
}

var composers = []string{"ermine/rel", "ermine/tests"}

// violations are the rows of both tables that p breaks, as messages.
func violations(p pkg, layers []rule, homes []home) []string {
	var found []string
	for _, imp := range p.imports() {
		for _, r := range layers {
			if within(p.ImportPath, r.from) && within(imp, r.to) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imp, r.why))
			}
		}
		for _, h := range homes {
			if h.testsMay && !slices.Contains(p.Imports, imp) {
				continue
			}
			if within(imp, h.library) && !withinAny(p.ImportPath, h.folders) && !withinAny(p.ImportPath, composers) {
				found = append(found, fmt.Sprintf("%s imports %s, whose home is %v: %s", p.ImportPath, imp, h.folders, h.why))
			}
		}
	}
	return found
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, v := range violations(p, layers, homes) {
			t.Error(v)
		}
	}
}

// TestImportRules shows that the rules catch what they are for, and no more.
func TestImportRules(t *testing.T) {
	for _, tc := range []struct {
		name string
		pkg  pkg
		want int
	}{
		{"actors knows no mqtt", pkg{ImportPath: "ermine/actors/session", Imports: []string{"ermine/mqtt/wire"}}, 1},
		{"nor in a test", pkg{ImportPath: "ermine/actors/session", XTestImports: []string{"ermine/mqtt/wire"}}, 1},
		{"mqtt stands on actors", pkg{ImportPath: "ermine/mqtt/hook", Imports: []string{"ermine/actors/session"}}, 0},
		{"ergo at home", pkg{ImportPath: "ermine/node/dist/proto", Imports: []string{"ergo.services/ergo/gen"}}, 0},
		{"ergo in mqtt", pkg{ImportPath: "ermine/mqtt/hook", Imports: []string{"ergo.services/ergo/gen"}}, 1},
		{"viper beside its home", pkg{ImportPath: "ermine/node/ctl", Imports: []string{"github.com/spf13/viper"}}, 1},
		{"protoactor in node", pkg{ImportPath: "ermine/node/cluster", Imports: []string{"github.com/asynkron/protoactor-go/actor"}}, 1},
		{"a client library in a test", pkg{ImportPath: "ermine/mqtt", XTestImports: []string{"github.com/eclipse/paho.mqtt.golang"}}, 0},
		{"a client library in the product", pkg{ImportPath: "ermine/mqtt", Imports: []string{"github.com/eclipse/paho.mqtt.golang"}}, 1},
		{"a name that merely begins alike", pkg{ImportPath: "ermine/nodes", Imports: []string{"ermine/mqtt"}}, 0},
		{"tests import all", pkg{ImportPath: "ermine/tests/cluster", Imports: []string{"ergo.services/ergo", "ermine/mqtt/wire", "github.com/eclipse/paho.mqtt.golang"}}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := violations(tc.pkg, layers, homes); len(got) != tc.want {
				t.Errorf("got %d violations %q, want %d", len(got), got, tc.want)
			}
		})
	}
}
