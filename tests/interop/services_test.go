package interop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"ermine/actors"
	"ermine/actors/message"
	"ermine/actors/retain"
	"ermine/actors/router"
	"ermine/actors/topic"
	"ermine/node/ctl"
	"ermine/node/dist"
	"ermine/node/dist/etf"
	"ermine/node/erl"
)

// ermineNode is a node with a broker and the services for Erlang.
type ermineNode struct {
	*goNode
	broker   *actors.Broker
	services *erl.Services

	// stuck is how many runs of the command `stuck` are under way.
	stuck atomic.Int64
}

const version = "1.2.3-test"

// commands are a command tree with a few of the kinds of commands there are.
func (n *ermineNode) commands() *ctl.Tree {
	return ctl.NewTree("node ctl",
		ctl.Command{Name: "status", Forms: []ctl.Form{{Text: "status", Help: "Show the status", Run: func(_ context.Context, c *ctl.Call) error {
			return c.Printf("Node '%s' %s is started", n.Name(), version)
		}}}},
		ctl.Command{Name: "cluster", Forms: []ctl.Form{
			{Text: "cluster status", Help: "Show the cluster", Run: func(_ context.Context, c *ctl.Call) error {
				return c.Printf("Cluster status: #{running_nodes => ['%s'],stopped_nodes => []}", n.Name())
			}},
			{Text: "cluster join <Node>", Help: "Join", Run: func(_ context.Context, c *ctl.Call) error {
				return c.Fail("cannot join %s: refused", c.Args[0])
			}},
		}},
		ctl.Command{Name: "clients", Forms: []ctl.Form{
			{Text: "clients list", Help: "List the clients", Run: func(_ context.Context, c *ctl.Call) error {
				return c.Printf("no clients")
			}},
			{Text: "clients show <ClientId>", Help: "Show one", Run: func(_ context.Context, c *ctl.Call) error {
				return c.Printf("Client(%s)", c.Args[0])
			}},
		}},
		ctl.Command{Name: "flood", Forms: []ctl.Form{{Text: "flood <Lines>", Help: "Print lines", Run: func(_ context.Context, c *ctl.Call) error {
			var lines int
			_, _ = fmt.Sscan(c.Args[0], &lines)
			for i := range lines {
				if err := c.Printf("line %d of a long output", i); err != nil {
					return err
				}
			}
			return nil
		}}}},
		ctl.Command{Name: "stuck", Forms: []ctl.Form{{Text: "stuck", Help: "Wait for ever", Run: func(ctx context.Context, c *ctl.Call) error {
			if err := c.Printf("waiting"); err != nil {
				return err
			}
			n.stuck.Add(1)
			defer n.stuck.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}}}},
	)
}

// startErmine starts a node with everything that Erlang nodes use.
func startErmine(t testing.TB, o dist.Options, edit func(*erl.Options)) *ermineNode {
	t.Helper()
	return addErmine(t, startGo(t, o), edit)
}

// addErmine gives a node a broker and the services.
func addErmine(t testing.TB, g *goNode, edit func(*erl.Options)) *ermineNode {
	t.Helper()
	n := &ermineNode{goNode: g}
	n.broker = actors.New(actors.Config{Logger: testLogger(t), Node: n.Name(), Version: version, Retain: retain.Config{Enable: true}})
	if err := n.broker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.broker.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	opts := erl.Options{
		Network: n.Network, Broker: func() *actors.Broker { return n.broker }, Commands: n.commands(),
		Version: version, TickTime: tick, Logger: testLogger(t),
	}
	if edit != nil {
		edit(&opts)
	}
	s, err := erl.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	n.services = s
	t.Cleanup(s.Stop)
	return n
}

// servicePair is such a node and an Erlang node that has found it.
func servicePair(t testing.TB, edit func(*erl.Options)) (*ermineNode, *erlNode) {
	t.Helper()
	n := startErmine(t, dist.Options{}, edit)
	e := startErl(t, erlOptions{})
	e.let("N = '%s', ok", n.Name())
	e.want(etf.Atom("pong"), "net_adm:ping(N)")
	return n, e
}

// publish publishes and returns how many took the message.
func (n *ermineNode) publish(topic, payload string, qos byte) int {
	n.t.Helper()
	got, err := n.broker.Publish(within(n.t), &message.Message{Topic: topic, Payload: []byte(payload), QoS: qos, Publisher: "tester"})
	if err != nil {
		n.t.Fatal(err)
	}
	return got
}

// term reads a term as Erlang writes it.
func term(t testing.TB, text string, args ...any) any {
	t.Helper()
	v, err := etf.Parse(fmt.Sprintf(text, args...))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestServicesNetworks uses the services in every kind of network.
func TestServicesNetworks(t *testing.T) {
	for _, nw := range networks() {
		t.Run(nw.name, func(t *testing.T) {
			g, e := nw.pair(t)
			n := addErmine(t, g, nil)
			e.let("N = '%s', ok", n.Name())
			e.want(etf.Atom("pong"), "net_adm:ping(N)")
			e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"a/#">>, #{qos => 1}})`)
			e.want(term(t, "{ok, 1}"), `rpc:call(N, ermine, publish, [<<"a/b">>, <<"x">>, #{qos => 1}])`)
			e.want("x", `receive {mqtt, <<"a/b">>, P, #{qos := 1}} -> P after 10000 -> nothing end`)
			e.want(etf.Atom("true"), `is_binary(rpc:call(N, ermine_ctl, run_command, [["cluster", "status"]]))`)
			e.want(etf.Atom("undef"), `try erpc:call(N, no, f, []) catch error:{exception, R, _} -> R end`)
			e.kill()
			eventually(t, "subscription is gone", func() bool { return n.publish("a/b", "", 0) == 0 })
		})
	}
}

// callForms are the ways to call a function on another node, as text with M, F
// and A to be filled in; all give the result itself.
var callForms = []struct{ name, text string }{
	{"rpc:call", "rpc:call(N, %s, %s, %s, 10000)"},
	{"rpc:call infinity", "rpc:call(N, %s, %s, %s)"},
	{"rpc:block_call", "rpc:block_call(N, %s, %s, %s, 10000)"},
	{"rex message", "begin {rex, N} ! {self(), {call, %s, %s, %s, user}}, receive {rex, R_} -> R_ after 10000 -> nothing end end"},
	{"gen_server:call rex", "gen_server:call({rex, N}, {call, %s, %s, %s, group_leader()}, 10000)"},
	{"rpc:async_call", "rpc:yield(rpc:async_call(N, %s, %s, %s))"},
	{"rpc:multicall", "begin {[R_], []} = rpc:multicall([N], %s, %s, %s, 10000), R_ end"},
}

// TestCallForms calls the same functions in every way there is.
func TestCallForms(t *testing.T) {
	n, e := servicePair(t, nil)
	tests := []struct{ m, f, a, want string }{
		{"ermine", "publish", `[<<"t/1">>, <<"x">>]`, "{ok, 0}"},
		{"emqx", "publish", `["t/1", ["io", <<"data">>, $!]]`, "{ok, 0}"},
		{"ermine", "publish", `['t/1', <<>>, #{qos => 1}]`, "{ok, 0}"},
		{"ermine", "publish", `[<<"t/1">>, <<"x">>, [{qos, 2}, retain]]`, "{ok, 0}"},
		{"ermine", "publish", `[<<"t/#">>, <<"x">>]`, "{error, bad_topic}"},
		{"ermine", "publish", `[<<"t/1">>, {not_iodata}]`, "{error, badarg}"},
		{"ermine", "publish", `[<<"t/1">>, <<"x">>, #{qos => 3}]`, "{error, badarg}"},
		{"erlang", "node", "[]", "'" + n.Name() + "'"},
		{"erlang", "apply", "[erlang, node, []]", "'" + n.Name() + "'"},
		{"erlang", "apply", "[fun erlang:node/0, []]", "'" + n.Name() + "'"},
		{"erlang", "whereis", "[nobody]", "undefined"},
		{"net_kernel", "get_net_ticktime", "[]", "60"},
		{"application", "get_env", "[stdlib, shell_slogan, 7]", "7"},
		{"code", "ensure_loaded", "[ermine]", "{module, ermine}"},
		{"code", "ensure_loaded", "[lists]", "{error, nofile}"},
		{"code", "which", "[lists]", "non_existing"},
		{"init", "get_status", "[]", "{started, started}"},
		{"ermine_ctl", "run_command", `[["status"]]`, `<<"Node '` + n.Name() + `' ` + version + ` is started\n">>`},
		{"emqx_ctl", "run_command", `[[<<"cluster">>, status]]`, `<<"Cluster status: #{running_nodes => ['` + n.Name() + `'],stopped_nodes => []}\n">>`},
		{"ermine_ctl", "run_command", `[status]`, `<<"Node '` + n.Name() + `' ` + version + ` is started\n">>`},
		{"ermine_ctl", "run_command", `[cluster, ["join", "x@127.0.0.1"]]`, `{error, <<"cannot join x@127.0.0.1: refused\n">>}`},
		// What is not there fails as in Erlang.
		{"nomodule", "nofunction", "[1, two]", "{badrpc, {'EXIT', {undef, [{nomodule, nofunction, [1, two], []}]}}}"},
		{"ermine", "publish", "[x]", "{badrpc, {'EXIT', {undef, [{ermine, publish, [x], []}]}}}"},
		{"lists", "reverse", "[[1]]", "{badrpc, {'EXIT', {undef, [{lists, reverse, [[1]], []}]}}}"},
		{"os", "cmd", `["id"]`, `{badrpc, {'EXIT', {undef, [{os, cmd, ["id"], []}]}}}`},
		{"erlang", "halt", "[]", "{badrpc, {'EXIT', {notsup, [{erlang, halt, [], []}]}}}"},
		{"init", "stop", "[]", "{badrpc, {'EXIT', {notsup, [{init, stop, [], []}]}}}"},
		{"erlang", "system_info", "[nonsense]", "{badrpc, {'EXIT', {badarg, [{erlang, system_info, [nonsense], []}]}}}"},
	}
	for _, form := range callForms {
		t.Run(form.name, func(t *testing.T) {
			for _, tt := range tests {
				e.want(term(t, "%s", tt.want), form.text, tt.m, tt.f, tt.a)
			}
		})
	}
}

// TestErpc holds to erpc's own errors, and to the forms that only it has.
func TestErpc(t *testing.T) {
	n, e := servicePair(t, nil)
	own := etf.Atom(n.Name())
	e.want(own, "erpc:call(N, erlang, node, [])")
	e.want(own, "erpc:call(N, erlang, node, [], 5000)")
	e.want(own, "erpc:call(N, fun erlang:node/0)")
	e.want(etf.List{etf.Tuple{etf.Atom("ok"), own}}, "erpc:multicall([N], erlang, node, [])")
	e.want(term(t, "{error, {exception, undef, [{nomodule, f, [1], []}]}}"),
		"try erpc:call(N, nomodule, f, [1]) catch C:R -> {C, R} end")
	e.want(term(t, "[{error, {exception, undef, [{nomodule, f, [1], []}]}}]"), "erpc:multicall([N], nomodule, f, [1])")
	e.want(own, "R = erpc:send_request(N, erlang, node, []), erpc:receive_response(R, 5000)")
	// A local fun has its code on the caller's node only.
	e.want(etf.Atom("undef"), "try erpc:call(N, fun() -> node() end) catch error:{exception, Why, _} -> Why end")

	// Casts have no answer; what they do is seen by a subscriber.
	e.want(etf.Atom("ok"), `erpc:call(N, ermine, subscribe, [<<"cast/#">>])`)
	for _, cast := range []string{
		`erpc:cast(N, ermine, publish, [<<"cast/1">>, <<"1">>])`,
		`erpc:multicast([N], ermine, publish, [<<"cast/1">>, <<"1">>])`,
		`rpc:cast(N, ermine, publish, [<<"cast/1">>, <<"1">>])`,
		`gen_server:cast({rex, N}, {cast, ermine, publish, [<<"cast/1">>, <<"1">>], group_leader()})`,
		`spawn(N, ermine, publish, [<<"cast/1">>, <<"1">>])`,
		`gen_server:cast({ermine, N}, {publish, <<"cast/1">>, <<"1">>, []})`,
	} {
		e.eval("%s", cast)
		e.want(etf.Atom("got"), `receive {mqtt, <<"cast/1">>, <<"1">>, #{qos := 0}} -> got after 10000 -> {nothing, process_info(self(), messages)} end`)
	}
	e.eval("erpc:cast(N, nomodule, f, [])")
	e.want(etf.Atom("pong"), "net_adm:ping(N)")

	// Many at a time, from many processes.
	e.want(etf.Atom("ok"), `Me = self(),
		[spawn_link(fun() -> N = rpc:call(N, erlang, node, []), Me ! {rpc, I} end) || I <- lists:seq(1, 1000)],
		[receive {rpc, I} -> ok after 20000 -> exit({missing, I}) end || I <- lists:seq(1, 1000)], ok`)
	// Results that are large, byte for byte.
	e.want(etf.Atom("true"), `B = crypto:strong_rand_bytes(1000000),
		{ok, 1} = rpc:call(N, ermine, publish, [<<"cast/big">>, B]),
		receive {mqtt, <<"cast/big">>, B2, _} -> B2 =:= B after 10000 -> nothing end`)
	e.eval("erase()")
}

// TestMulticall has a node that is there and one that is not.
func TestMulticall(t *testing.T) {
	n, e := servicePair(t, nil)
	e.want(etf.Tuple{etf.List{etf.Atom(n.Name()), etf.Atom(e.name)}, etf.List{etf.Atom("nobody@127.0.0.1")}},
		"rpc:multicall([N, node(), 'nobody@127.0.0.1'], erlang, node, [], 10000)")
	// abcast and sbcast reach registered processes.
	_, messages := n.sink("sink", false)
	e.want(etf.Atom("abcast"), "rpc:abcast([N], sink, hello)")
	if got := receive(t, messages); got != etf.Atom("hello") {
		t.Errorf("abcast: %v", got)
	}
	e.want(etf.Tuple{etf.List{etf.Atom(n.Name())}, etf.List{}}, "rpc:sbcast([N], sink, hello2)")
	if got := receive(t, messages); got != etf.Atom("hello2") {
		t.Errorf("sbcast: %v", got)
	}
	e.want(etf.Tuple{etf.List{}, etf.List{etf.Atom(n.Name())}}, "rpc:sbcast([N], nobody, hello2)")
}

// TestErlCall runs the C node that comes with Erlang, in both modes.
func TestErlCall(t *testing.T) {
	static := startErmine(t, dist.Options{}, nil)
	port := startEPMD(t)
	mapped := startErmine(t, dist.Options{Name: shortName("g") + "@127.0.0.1", EPMD: true, EPMDPort: port}, nil)
	for _, nt := range []struct {
		node *ermineNode
		args []string
	}{
		{static, []string{"-address", static.ListenAddr()}},
		{mapped, []string{"-name", mapped.Name()}},
	} {
		for _, tt := range []struct{ mfa, want string }{
			{"erlang node []", nt.node.Name()},
			{`ermine publish ["a/b", "payload"]`, "{ok, 0}"},
			{`ermine_ctl run_command [["status"]]`, "#Bin<"},
			{"no such []", "undef"},
		} {
			cmd := exec.CommandContext(within(t), "erl_call", append(nt.args, "-c", cookie, "-a", tt.mfa)...)
			cmd.Env = append(os.Environ(), "ERL_EPMD_PORT="+strconv.Itoa(int(port)))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("erl_call %q -a %q: %q, %v; want %q in it", nt.args, tt.mfa, out, err, tt.want)
			}
		}
	}
}

// TestSubscribe subscribes from an Erlang process in every way there is.
func TestSubscribe(t *testing.T) {
	n, e := servicePair(t, nil)
	for i, tt := range []struct{ subscribe, unsubscribe string }{
		{`gen_server:call({ermine, N}, {subscribe, <<"s/+">>, #{qos => 1}})`, `gen_server:call({ermine, N}, {unsubscribe, <<"s/+">>})`},
		{`gen_server:call({ermine, N}, {subscribe, "s/+", [{qos, 1}]})`, `gen_server:call({ermine, N}, {unsubscribe, "s/+"})`},
		{`rpc:call(N, ermine, subscribe, [<<"s/+">>, 1])`, `rpc:call(N, ermine, unsubscribe, [<<"s/+">>])`},
		{`rpc:call(N, ermine, subscribe, [<<"s/+">>, [{qos, 1}], self()])`, `rpc:call(N, ermine, unsubscribe, [<<"s/+">>, self()])`},
		{`gen_server:call({rex, N}, {call, ermine, subscribe, [<<"s/+">>, [{qos, 1}], self()], group_leader()})`, `rpc:call(N, emqx, unsubscribe, ["s/+"])`},
	} {
		e.want(etf.Atom("ok"), "%s", tt.subscribe)
		e.want(term(t, `[<<"s/+">>]`), "rpc:call(N, ermine, topics, [])")
		payload := fmt.Sprint("m", i)
		if got := n.publish("s/1", payload, 2); got != 1 {
			t.Fatalf("%s: %d took the message", tt.subscribe, got)
		}
		e.want(term(t, `{mqtt, <<"s/1">>, <<"%s">>, #{qos => 1, retain => false, filter => <<"s/+">>, publisher => <<"tester">>}}`, payload),
			`receive M -> M after 10000 -> nothing end`)
		e.want(etf.Atom("ok"), "%s", tt.unsubscribe)
		e.want(term(t, "{error, not_subscribed}"), "%s", tt.unsubscribe)
		eventually(t, "nobody subscribes", func() bool { return n.publish("s/1", "late", 0) == 0 })
	}
	for _, bad := range []string{`<<"s/#/x">>`, `<<>>`} {
		e.want(term(t, "{error, bad_filter}"), "gen_server:call({ermine, N}, {subscribe, %s, []})", bad)
	}
	for _, bad := range []string{"17, []", `<<"a">>, #{qos => 7}`, `<<"a">>, nonsense`, `<<"$share/g/a">>, [{nl, 1}]`} {
		e.want(term(t, "{error, badarg}"), "gen_server:call({ermine, N}, {subscribe, %s})", bad)
	}
	e.want(term(t, "{error, badarg}"), "gen_server:call({ermine, N}, nonsense)")
	e.want(etf.Atom("empty"), "receive Late -> Late after 0 -> empty end")
}

// TestSubscriptionOptions: properties, retained messages, no local, groups.
func TestSubscriptionOptions(t *testing.T) {
	n, e := servicePair(t, nil)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"p">>, #{qos => 2}})`)
	e.want(term(t, "{ok, 1}"), `rpc:call(N, ermine, publish, [<<"p">>, <<"x">>, #{qos => 2, from => <<"me">>, expiry_interval => 100,
		content_type => <<"text">>, response_topic => <<"r">>, correlation_data => <<1,2>>, payload_format => 1,
		user_properties => [{<<"k">>, <<"v">>}, {<<"k">>, <<"w">>}]}])`)
	e.want(term(t, `{mqtt, <<"p">>, <<"x">>, #{qos => 2, retain => false, filter => <<"p">>, publisher => <<"me">>, expiry_interval => 100,
		payload_format => 1, content_type => <<"text">>, response_topic => <<"r">>, correlation_data => <<1,2>>,
		user_properties => [{<<"k">>, <<"v">>}, {<<"k">>, <<"w">>}]}}`), "receive M -> M after 10000 -> nothing end")

	// Retained messages come with a subscription, unless it says otherwise.
	for i := range 3 {
		e.want(term(t, "{ok, 0}"), `rpc:call(N, ermine, publish, [<<"r/%d">>, <<"kept">>, [retain]])`, i)
	}
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"r/+">>, []})`)
	e.want(term(t, `[<<"r/0">>, <<"r/1">>, <<"r/2">>]`),
		`lists:sort([receive {mqtt, T, <<"kept">>, #{retain := true}} -> T after 10000 -> nothing end || _ <- [1, 2, 3]])`)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"r/1">>, [{rh, 2}]})`)

	// A process that says so does not get its own messages, others' it does.
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"nl">>, [{nl, true}]})`)
	e.eval(`gen_server:call({ermine, N}, {publish, <<"nl">>, <<"own">>, []})`)
	n.publish("nl", "other", 0)
	e.want(etf.Tuple{etf.Atom("mqtt"), "nl", "other"}, "receive {mqtt, T, P, _} -> {mqtt, T, P} after 10000 -> nothing end")

	// A group gives each message to one of its members.
	e.let(`Loop = fun(L, Me) -> receive {mqtt, _, P, _} -> Me ! {self(), P}, L(L, Me) end end, ok`)
	e.let(`Me = self(), Members = [spawn_link(fun() ->
			ok = gen_server:call({ermine, N}, {subscribe, <<"$share/g/q">>, [{qos, 1}]}), Me ! {self(), ready}, Loop(Loop, Me) end) || _ <- [1, 2, 3]],
		[receive {Pid, ready} -> ok end || Pid <- Members], ok`)
	for i := range 30 {
		if got := n.publish("q", fmt.Sprint(i), 1); got != 1 {
			t.Fatalf("message %d: %d took it", i, got)
		}
	}
	e.want(etf.List{etf.Tuple{etf.Atom("all"), 30}, etf.Tuple{etf.Atom("members"), 3}},
		`Got = [receive {Pid, P} -> {Pid, P} after 10000 -> nothing end || _ <- lists:seq(1, 30)],
		[{all, length(lists:usort([P || {_, P} <- Got]))}, {members, length(lists:usort([Pid || {Pid, _} <- Got]))}]`)
}

// TestSubscriptionOrder sends many messages through one subscription.
func TestSubscriptionOrder(t *testing.T) {
	const count = 20000
	n, e := servicePair(t, nil)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"o">>, [{max_queue, 1000000}]})`)
	e.let(`Got = fun(_, I, I) -> ok; (F, I, Max) -> receive {mqtt, _, P, _} -> I = binary_to_integer(P), F(F, I + 1, Max) after 20000 -> {missing, I} end end, ok`)
	for i := range count {
		n.publish("o", fmt.Sprint(i), 0)
	}
	e.want(etf.Atom("ok"), "Got(Got, 0, %d)", count)
	// The other way: casts of one process are published in order.
	e.want(etf.Atom("ok"), `[gen_server:cast({ermine, N}, {publish, <<"o">>, integer_to_binary(I), []}) || I <- lists:seq(0, 4999)], Got(Got, 0, 5000)`)
}

// TestAck: the publisher of a QoS 1 message is answered when the process has
// acknowledged it, or is gone.
func TestAck(t *testing.T) {
	n, e := servicePair(t, nil)
	published := func(topic string) <-chan error {
		result := make(chan error, 1)
		go func() {
			_, err := n.broker.Publish(within(t), &message.Message{Topic: topic, Payload: []byte("x"), QoS: 1})
			result <- err
		}()
		return result
	}
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"a">>, #{qos => 1, ack => true}})`)
	result := published("a")
	e.let(`Id = receive {mqtt, <<"a">>, <<"x">>, #{id := I}} -> I after 10000 -> nothing end, ok`)
	select {
	case err := <-result:
		t.Fatalf("answered before the acknowledgement: %v", err)
	default:
	}
	e.want(term(t, "1"), `maps:get(inflight, gen_server:call({ermine, N}, info))`)
	e.eval("{ermine, N} ! {mqtt_ack, Id}")
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	// Acknowledgements of nothing do no harm.
	e.eval("{ermine, N} ! {mqtt_ack, Id}, {ermine, N} ! {mqtt_ack, 0}, {ermine, N} ! {mqtt_ack, -1}, {ermine, N} ! {mqtt_ack, x}")

	// The end of the process answers as well.
	e.let(`Dying = spawn(fun() -> ok = gen_server:call({ermine, N}, {subscribe, <<"d">>, [{qos, 1}, ack]}), receive stop -> ok end end), ok`)
	eventually(t, "subscribed", func() bool { return n.publish("d", "qos 0", 0) == 1 })
	result = published("d")
	e.want(etf.Atom("both"), `W = fun(F) -> case process_info(Dying, message_queue_len) of {_, 2} -> both; _ -> F(F) end end, W(W)`)
	select {
	case err := <-result:
		t.Fatalf("answered before the acknowledgement: %v", err)
	default:
	}
	e.eval("exit(Dying, kill)")
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	eventually(t, "subscription gone", func() bool { return n.publish("d", "", 0) == 0 })
}

// TestAckTime: a process that never acknowledges holds publishers up for a
// bounded time, and the window moves on.
func TestAckTime(t *testing.T) {
	n, e := servicePair(t, func(o *erl.Options) { o.AckTime = 200 * time.Millisecond })
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"a">>, #{qos => 1, ack => true, max_inflight => 1}})`)
	for range 3 {
		if got := n.publish("a", "x", 1); got != 1 {
			t.Fatal("not taken")
		}
	}
	e.want(etf.Atom("ok"), `[receive {mqtt, _, _, #{id := _}} -> ok after 10000 -> exit(nothing) end || _ <- [1, 2, 3]], ok`)
	eventually(t, "window is empty", func() bool {
		return etf.Equal(e.eval(`I = gen_server:call({ermine, N}, info), {maps:get(inflight, I), maps:get(unacked, I)}`), etf.Tuple{0, 3})
	})
}

// wait takes the result of a publish.
func wait(t testing.TB, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-within(t).Done():
		return errors.New("the publisher is not answered")
	}
}

// TestFullQueue: a process that does not acknowledge gets no more than its
// window, its queue keeps the latest, the rest is counted as dropped.
func TestFullQueue(t *testing.T) {
	n, e := servicePair(t, func(o *erl.Options) { o.AckTime = time.Hour })
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"f">>, #{qos => 1, ack => true, max_inflight => 2, max_queue => 5}})`)
	results := make(chan error, 20)
	for i := range 20 {
		if i == 2 {
			e.let(`Ids = [receive {mqtt, <<"f">>, <<P>>, #{id := I}} -> {P, I} after 10000 -> nothing end || _ <- [1, 2]], ok`)
		}
		started := make(chan struct{})
		go func() {
			close(started)
			_, err := n.broker.Publish(within(t), &message.Message{Topic: "f", Payload: []byte{byte(i)}, QoS: 1})
			results <- err
		}()
		<-started
		eventually(t, "taken in order", func() bool {
			v := e.eval(`I = gen_server:call({ermine, N}, info), lists:sum([maps:get(K, I) || K <- [queued, inflight, dropped]])`)
			return etf.Equal(v, i+1)
		})
	}
	e.want(term(t, "[5, 2, 13]"), `I = gen_server:call({ermine, N}, info), [maps:get(K, I) || K <- [queued, inflight, dropped]]`)
	for range 13 {
		if err := wait(t, results); err != nil {
			t.Fatal(err)
		}
	}
	e.want(term(t, "[0, 1, 15, 16, 17, 18, 19]"), `[{ermine, N} ! {mqtt_ack, Id} || {_, Id} <- Ids],
		[P || {P, _} <- Ids] ++ [receive {mqtt, <<"f">>, <<P>>, #{id := I}} -> {ermine, N} ! {mqtt_ack, I}, P after 10000 -> nothing end || _ <- [1, 2, 3, 4, 5]]`)
	for range 7 {
		if err := wait(t, results); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubscribeAndUnsubscribe over and over, with messages on their way.
func TestSubscribeAndUnsubscribe(t *testing.T) {
	n, e := servicePair(t, nil)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-stop:
				return
			case <-every.C:
				_, _ = n.broker.Publish(t.Context(), &message.Message{Topic: "again", QoS: 1})
			}
		}
	}()
	e.want(etf.Atom("ok"), `Again = fun(Opts) -> fun() -> [begin
			ok = gen_server:call({ermine, N}, {subscribe, <<"again">>, Opts}),
			receive {mqtt, <<"again">>, _, P} -> case P of #{id := I} -> {ermine, N} ! {mqtt_ack, I}; _ -> ok end after 10000 -> exit(nothing) end,
			ok = gen_server:call({ermine, N}, {unsubscribe, <<"again">>}),
			F = fun(F) -> receive {mqtt, _, _, #{id := I2}} -> {ermine, N} ! {mqtt_ack, I2}, F(F); {mqtt, _, _, _} -> F(F) after 0 -> ok end end, F(F)
		end || _ <- lists:seq(1, 100)] end end,
		Workers = [spawn_monitor(Again(O)) || O <- [[], [{qos, 1}], [{qos, 1}, ack]]],
		[receive {'DOWN', M, _, _, normal} -> ok; {'DOWN', M, _, _, Why} -> exit(Why) after 25000 -> exit(slow) end || {_, M} <- Workers], ok`)
	close(stop)
	<-ended
	eventually(t, "nobody is left", func() bool {
		return etf.Equal(e.eval("#{erlang := #{subscribers := S}} = rpc:call(N, ermine, info, []), S"), 0)
	})
}

// TestStoppedSubscriber: a node that has stopped reading slows no publisher down
// and takes a bounded amount of memory; when it goes on its process gets what is
// left, the latest messages among it, and the rest has been counted.
func TestStoppedSubscriber(t *testing.T) {
	const count, size, queue = 30000, 4096, 1000
	n, e := servicePair(t, nil)
	e.let(`Sub = spawn(fun() ->
		ok = gen_server:call({ermine, N}, {subscribe, <<"slow">>, #{max_queue => %d}}),
		F = fun(F, Seen, Last) -> receive
			{mqtt, _, <<I:32, _/binary>>, _} when I > Last -> F(F, Seen + 1, I);
			{From, seen} -> From ! {seen, Seen, Last}, F(F, Seen, Last) end end,
		F(F, 0, -1) end), ok`, queue)
	_, other := n.sink("other", false)
	n.eventuallySubscribed("slow")
	pid, err := n.Node().ProcessPID("other")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Call(within(t), dist.Name("rex", n.Name()), etf.Tuple{
		etf.Atom("call"), etf.Atom("ermine"), etf.Atom("subscribe"),
		etf.List{"slow", etf.Map{{Key: etf.Atom("max_queue"), Value: 1000000}}, n.Pid(pid)},
		etf.Atom("user"),
	}); err != nil || got != etf.Atom("ok") {
		t.Fatalf("the fast subscriber: %v, %v", got, err)
	}
	e.signal(syscall.SIGSTOP)
	payload := make([]byte, size)
	for i := range count {
		body := slices.Clone(payload)
		binary.BigEndian.PutUint32(body, uint32(i))
		if got, err := n.broker.Publish(within(t), &message.Message{Topic: "slow", Payload: body}); err != nil || got != 2 {
			t.Fatalf("message %d: %d, %v", i, got, err)
		}
	}
	for range count { // its neighbour has got all of them
		receive(t, other)
	}
	e.signal(syscall.SIGCONT)
	eventually(t, "the latest arrives", func() bool {
		return etf.Equal(e.eval("Sub ! {self(), seen}, receive {seen, _, L} -> L end"), count-1)
	})
	e.want(etf.Atom("true"), `Sub ! {self(), seen}, receive {seen, S, _} ->
		#{erlang := #{dropped := D}} = rpc:call(N, ermine, info, []),
		case {S + D, D > 0} of {%d, true} -> true; X -> {X, S, D} end end`, count)
}

// eventuallySubscribed waits until a topic has a subscriber.
func (n *ermineNode) eventuallySubscribed(filter topic.Filter) {
	n.t.Helper()
	eventually(n.t, "subscribed", func() bool {
		found := false
		n.broker.Subscribers(filter, func(*router.Subscription) { found = true })
		return found
	})
}

// BenchmarkErlangSubscriber is messages from a publisher to an Erlang process.
func BenchmarkErlangSubscriber(b *testing.B) {
	n, e := servicePair(b, nil)
	e.let(`Count = fun(_, 0) -> ok; (F, I) -> receive {mqtt, _, _, _} -> F(F, I - 1) end end, ok`)
	e.let(`Me = self(), Sub = spawn(fun() -> ok = gen_server:call({ermine, N}, {subscribe, <<"b">>, [{max_queue, 1000000}]}),
		receive {go, I} -> Count(Count, I), Me ! done end end), ok`)
	n.eventuallySubscribed("b")
	e.eval("Sub ! {go, %d}", b.N)
	payload := make([]byte, 200)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := n.broker.Publish(b.Context(), &message.Message{Topic: "b", Payload: payload}); err != nil {
			b.Fatal(err)
		}
	}
	e.want(etf.Atom("done"), "receive done -> done end")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// TestSubscriberGone: subscriptions end with their process, and with its node.
func TestSubscriberGone(t *testing.T) {
	n, e := servicePair(t, nil)
	taken := func(want int) func() bool {
		return func() bool { return n.publish("gone/x", "", 0) == want }
	}
	e.let(`Sub = fun(F) -> spawn(fun() -> ok = gen_server:call({ermine, N}, {subscribe, F, []}), receive {exit, R} -> exit(R) end end) end, ok`)
	e.let(`P1 = Sub(<<"gone/#">>), P2 = Sub(<<"gone/+">>), P3 = Sub(<<"gone/x">>), ok`)
	eventually(t, "three", taken(3))
	e.eval("exit(P1, kill)")
	eventually(t, "two", taken(2))
	e.eval("P2 ! {exit, normal}")
	eventually(t, "one", taken(1))
	if subs := etf.Format(e.eval("maps:get(subscriptions, maps:get(erlang, rpc:call(N, ermine, info, [])))")); subs != `[<<"gone/x">>]` {
		t.Errorf("left: %s", subs)
	}
	// A process that is dead already is refused or forgotten.
	e.eval(`D = spawn(fun() -> ok end), rpc:call(N, ermine, subscribe, [<<"gone/x">>, [], D])`)
	eventually(t, "still one", taken(1))
	e.kill()
	eventually(t, "none", taken(0))
	topics := 0
	for range n.broker.Sessions() {
		topics++
	}
	if topics != 0 {
		t.Errorf("%d sessions", topics)
	}
}

// TestSubscriberOnThisNode: a process of this node may subscribe as well.
func TestSubscriberOnThisNode(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	got := make(chan any, 10)
	pid := n.spawn("", &script{message: func(p *script, _ gen.PID, m any) error {
		switch m {
		case "subscribe":
			v, err := p.Call(gen.Atom("ermine"), etf.Tuple{etf.Atom("subscribe"), "here", etf.List{}})
			if err != nil {
				return err
			}
			got <- v
		case "end":
			return gen.TerminateReasonNormal
		default:
			got <- m
		}
		return nil
	}})
	if err := n.Node().Send(pid, "subscribe"); err != nil {
		t.Fatal(err)
	}
	if v := receive(t, got); v != etf.Atom("ok") {
		t.Fatalf("subscribe: %v", v)
	}
	n.publish("here", "x", 0)
	if m, ok := receive(t, got).(etf.Tuple); !ok || m[0] != etf.Atom("mqtt") || m[1] != "here" {
		t.Fatalf("got %v", m)
	}
	if err := n.Node().Send(pid, "end"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gone", func() bool { return n.publish("here", "", 0) == 0 })
}

// TestServicesRestart: named processes come back, and subscriptions stay.
func TestServicesRestart(t *testing.T) {
	n, e := servicePair(t, nil)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"r">>, []})`)
	for _, name := range []string{"ermine", "rex", "ermine_console"} {
		e.want(etf.Atom("true"), `Old = rpc:call(N, erlang, whereis, [%[1]s]), exit(Old, crash),
			F = fun(F) -> case rpc:call(N, erlang, whereis, [%[1]s]) of P when is_pid(P), P =/= Old -> true; _ -> F(F) end end, F(F)`, name)
	}
	if got := n.publish("r", "still here", 0); got != 1 {
		t.Fatalf("%d took the message", got)
	}
	e.want("still here", `receive {mqtt, <<"r">>, P, _} -> P after 10000 -> nothing end`)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {unsubscribe, <<"r">>})`)
	select {
	case <-n.services.Done():
		t.Error(n.services.Err())
	default:
	}
}

// TestBrokerRestart: subscriptions move on to a new broker; while there is none
// what needs it says so.
func TestBrokerRestart(t *testing.T) {
	var broker atomic.Pointer[actors.Broker]
	n, e := servicePair(t, func(o *erl.Options) { o.Broker = broker.Load })
	e.want(term(t, "{error, unavailable}"), `gen_server:call({ermine, N}, {subscribe, <<"b">>, []})`)
	e.want(term(t, "{error, unavailable}"), `rpc:call(N, ermine, publish, [<<"b">>, <<>>])`)
	e.want(etf.Atom("false"), `maps:get(running, rpc:call(N, ermine, info, []))`)
	broker.Store(n.broker)
	e.want(etf.Atom("ok"), `gen_server:call({ermine, N}, {subscribe, <<"b">>, []})`)
	second := actors.New(actors.Config{Logger: testLogger(t), Node: n.Name()})
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Stop(context.Background()) })
	broker.Store(second)
	eventually(t, "subscribed at the second broker", func() bool {
		got, err := second.Publish(within(t), &message.Message{Topic: "b", Payload: []byte("second")})
		return err == nil && got == 1
	})
	e.want("second", `receive {mqtt, <<"b">>, P, _} -> P after 10000 -> nothing end`)
}

// TestTools: what observer, etop and their like ask is answered at once, if only
// by undef.
func TestTools(t *testing.T) {
	_, e := servicePair(t, nil)
	for _, mfa := range []string{
		"observer_backend, vsn, []", "observer_backend, sys_info, []", "observer_backend, procs_info, [self()]",
		"observer_backend, etop_collect, [self()]", "observer_backend, get_table_list, [ets, []]",
		"appmon_info, start_link, [N, self(), []]", "runtime_tools, start, []", "dbg, tracer, []",
		"mnesia, system_info, [all]", "ets, all, []", "'Elixir.System', version, []", "sys, get_state, [rex]",
	} {
		e.want(etf.Atom("undef"), "{badrpc, {'EXIT', {Why, _}}} = rpc:call(N, %s, 5000), Why", mfa)
	}
	e.want(etf.Atom("ended"), `{P, M} = spawn_monitor(fun() -> etop:start([{node, N}, {output, text}]) end), receive {'DOWN', M, _, P, _} -> ended after 10000 -> hangs end`)
	for _, tt := range []struct{ call, guard string }{
		{"erlang, system_info, [otp_release]", "is_list(V)"},
		{"erlang, system_info, [system_version]", "is_list(V)"},
		{"erlang, system_info, [process_count]", "V > 2"},
		{"erlang, memory, []", "is_list(V)"},
		{"erlang, memory, [total]", "V > 0"},
		{"erlang, statistics, [wall_clock]", "is_tuple(V)"},
		{"erlang, registered, []", "length(V) > 3"},
		{"erlang, processes, []", "is_pid(hd(V))"},
		{"erlang, nodes, [connected]", "V =:= [node()]"},
		{"erlang, system_time, [second]", "V > 1600000000"},
		{"application, which_applications, []", "element(1, hd(V)) =:= ermine"},
		{"os, getpid, []", "is_list(V)"},
		{"code, all_loaded, []", "length(V) > 5"},
		{"ermine, clients, []", "V =:= []"},
	} {
		e.want(etf.Atom("true"), "V = rpc:call(N, %s, 5000), case %s of true -> true; _ -> V end", tt.call, tt.guard)
	}
	e.want(etf.Atom("true"), "rpc:call(N, erlang, is_process_alive, [rpc:call(N, erlang, whereis, [rex])])")
	e.want(term(t, "{registered_name, rex}"), "rpc:call(N, erlang, process_info, [rpc:call(N, erlang, whereis, [rex]), registered_name])")
	// global does not wait for this node.
	e.want(etf.Atom("yes"), "global:sync(), global:register_name(one, self())")
	e.want(etf.Atom("true"), "P = global:whereis_name(one), global:unregister_name(one), P =:= self()")
}
