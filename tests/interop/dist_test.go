package interop

import (
	"testing"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// network is a way in which nodes find and reach each other.
type network struct {
	name string

	// pair starts one node of each kind.
	pair func(t *testing.T) (*goNode, *erlNode)
}

func networks() []network {
	return []network{
		{"static", func(t *testing.T) (*goNode, *erlNode) {
			return startGo(t, dist.Options{}), startErl(t, erlOptions{})
		}},
		{"epmd", func(t *testing.T) (*goNode, *erlNode) {
			port := startEPMD(t)
			return startGo(t, dist.Options{Name: shortName("g") + "@127.0.0.1", EPMD: true, EPMDPort: port}),
				startErl(t, erlOptions{name: shortName("e") + "@127.0.0.1", epmdPort: port})
		}},
		{"static ipv6", func(t *testing.T) (*goNode, *erlNode) {
			return startGo(t, dist.Options{Name: staticName(t, "g", "::1")}),
				startErl(t, erlOptions{name: staticName(t, "e", "::1"), args: []string{"-proto_dist", "inet6_tcp"}})
		}},
		{"epmd ipv6", func(t *testing.T) (*goNode, *erlNode) {
			port := startEPMD(t)
			return startGo(t, dist.Options{Name: shortName("g") + "@::1", EPMD: true, EPMDPort: port}),
				startErl(t, erlOptions{name: shortName("e") + "@::1", epmdPort: port, args: []string{"-proto_dist", "inet6_tcp"}})
		}},
		{"static tls", func(t *testing.T) (*goNode, *erlNode) {
			ca := newAuthority(t)
			ca.issue("go")
			ca.issue("erl")
			return startGo(t, dist.Options{TLS: ca.settings("go")}), startErl(t, erlOptions{args: ca.erlArgs("erl")})
		}},
		{"epmd tls ipv6", func(t *testing.T) (*goNode, *erlNode) {
			ca := newAuthority(t)
			ca.issue("go")
			ca.issue("erl")
			port := startEPMD(t)
			args := ca.erlArgs("erl")
			args[1] = "inet6_tls"
			return startGo(t, dist.Options{Name: shortName("g") + "@::1", EPMD: true, EPMDPort: port, TLS: ca.settings("go")}),
				startErl(t, erlOptions{name: shortName("e") + "@::1", epmdPort: port, args: args})
		}},
	}
}

// TestPing connects in every network, each side dialling in turn.
func TestPing(t *testing.T) {
	for _, nw := range networks() {
		t.Run(nw.name, func(t *testing.T) {
			g, e := nw.pair(t)
			e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
			g.event(e.name, true)
			if err := g.Ping(within(t), e.name); err != nil {
				t.Fatal(err)
			}
			e.want(etf.List{etf.Atom(g.Name())}, "nodes(connected)")
			if !g.Disconnect(e.name) {
				t.Error("was not connected")
			}
			g.event(e.name, false)
			// Now the other way round.
			if err := g.Ping(within(t), e.name); err != nil {
				t.Fatal(err)
			}
			if info, ok := g.Peer(e.name); !ok || !info.Initiator || info.Hidden || info.Version != 6 {
				t.Errorf("peer: %+v, %t", info, ok)
			}
			e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
			e.want(etf.Atom("pang"), "net_adm:ping('nobody@127.0.0.1')")
			g.spawn("echo", &script{})
			e.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
			if node, err := g.RPC(within(t), e.name, "erlang", "node"); err != nil || node != etf.Atom(e.name) {
				t.Errorf("rpc: %v, %v", node, err)
			}
		})
	}
}
