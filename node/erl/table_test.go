package erl

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"ermine/actors/message"
	"ermine/node/dist"
	"ermine/node/dist/etf"
)

func parse(t testing.TB, text string) any {
	t.Helper()
	v, err := etf.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestExceptions holds the forms in which a function's end reaches Erlang to
// those of erpc.erl and rpc.erl of OTP 25.
func TestExceptions(t *testing.T) {
	raises := func(err error) Function {
		return func(context.Context, *Call) (any, error) { return nil, err }
	}
	table := Table{"m": {
		{"ok", 1}:     func(_ context.Context, c *Call) (any, error) { return c.Args[0], nil },
		{"badarg", 1}: raises(ErrBadArg),
		{"notsup", 1}: raises(ErrRefused),
		{"go", 1}:     raises(errors.New("a Go error")),
		{"exit", 1}:   raises(&Exception{Class: "exit", Reason: etf.Atom("gone")}),
		{"throw", 1}:  raises(&Exception{Class: "throw", Reason: etf.Atom("ball")}),
		{"panic", 1}:  func(context.Context, *Call) (any, error) { panic("bug") },
	}}
	for _, tt := range []struct{ call, erpc, rpc, exit string }{
		{"{m, ok, [1]}", "{ref, return, 1}", "1", ""},
		{"{m, badarg, [1]}", "{ref, error, badarg, [{m, badarg, [1], []}]}", "{badrpc, {'EXIT', {badarg, [{m, badarg, [1], []}]}}}", "{badarg, [{m, badarg, [1], []}]}"},
		{"{m, notsup, [1]}", "{ref, error, notsup, [{m, notsup, [1], []}]}", "{badrpc, {'EXIT', {notsup, [{m, notsup, [1], []}]}}}", "{notsup, [{m, notsup, [1], []}]}"},
		{"{m, go, [1]}", `{ref, error, {error, <<"a Go error">>}, [{m, go, [1], []}]}`, `{badrpc, {'EXIT', {{error, <<"a Go error">>}, [{m, go, [1], []}]}}}`, `{{error, <<"a Go error">>}, [{m, go, [1], []}]}`},
		{"{m, exit, [1]}", "{ref, exit, gone}", "{badrpc, {'EXIT', gone}}", "gone"},
		{"{m, throw, [1]}", "{ref, throw, ball}", "ball", ""},
		{"{m, panic, [1]}", `{ref, error, {panic, <<"bug">>}, [{m, panic, [1], []}]}`, `{badrpc, {'EXIT', {{panic, <<"bug">>}, [{m, panic, [1], []}]}}}`, `{{panic, <<"bug">>}, [{m, panic, [1], []}]}`},
		{"{m, ok, []}", "{ref, error, undef, [{m, ok, [], []}]}", "{badrpc, {'EXIT', {undef, [{m, ok, [], []}]}}}", "{undef, [{m, ok, [], []}]}"},
		{"{x, f, [a]}", "{ref, error, undef, [{x, f, [a], []}]}", "{badrpc, {'EXIT', {undef, [{x, f, [a], []}]}}}", "{undef, [{x, f, [a], []}]}"},
	} {
		mfa := parse(t, tt.call).(etf.Tuple)
		c, ok := makeCall(mfa[0], mfa[1], mfa[2])
		if !ok {
			t.Fatalf("%s is no call", tt.call)
		}
		result, e := table.Apply(t.Context(), slog.New(slog.DiscardHandler), c)
		if got := erpcExit(etf.Atom("ref"), result, e); !etf.Equal(got, parse(t, tt.erpc)) {
			t.Errorf("%s: erpc %s, want %s", tt.call, etf.Format(got), tt.erpc)
		}
		if got := rpcResult(result, e); !etf.Equal(got, parse(t, tt.rpc)) {
			t.Errorf("%s: rpc %s, want %s", tt.call, etf.Format(got), tt.rpc)
		}
		if tt.exit != "" {
			if got := dist.ExitTerm(exitReason(e)); !etf.Equal(got, parse(t, tt.exit)) {
				t.Errorf("%s: exit %s, want %s", tt.call, etf.Format(got), tt.exit)
			}
		}
	}
}

func TestMakeCall(t *testing.T) {
	for _, bad := range []string{`{"m", f, []}`, "{m, 1, []}", "{m, f, x}", "{m, f, [a|b]}"} {
		mfa := parse(t, bad).(etf.Tuple)
		if _, ok := makeCall(mfa[0], mfa[1], mfa[2]); ok {
			t.Errorf("%s is taken for a call", bad)
		}
	}
	for _, tt := range []struct {
		fun  any
		args string
		want any // the reason, nil for a call
	}{
		{etf.Export{Module: "m", Function: "f", Arity: 1}, "[a]", nil},
		{etf.Export{Module: "m", Function: "f", Arity: 2}, "[a]", "badarity"},
		{etf.Fun{Module: "m"}, "[]", "undef"},
		{etf.Atom("x"), "[]", "badfun"},
	} {
		c, err := funCall(tt.fun, parse(t, tt.args))
		if tt.want == nil {
			if err != nil || c.Module != "m" || c.Function != "f" {
				t.Errorf("%v: %v, %v", tt.fun, c, err)
			}
			continue
		}
		var e *Exception
		if !errors.As(err, &e) {
			t.Errorf("%v: %v", tt.fun, err)
			continue
		}
		reason := e.Reason
		if tuple, ok := reason.(etf.Tuple); ok {
			reason = tuple[0]
		}
		if reason != etf.Atom(tt.want.(string)) {
			t.Errorf("%v: %v, want %v", tt.fun, e, tt.want)
		}
	}
}

func TestCommandWords(t *testing.T) {
	for _, tt := range []struct {
		args string
		want []string
	}{
		{`[["cluster", "status"]]`, []string{"cluster", "status"}},
		{`[[<<"cluster">>, status]]`, []string{"cluster", "status"}},
		{`["cluster status"]`, []string{"cluster", "status"}},
		{`[<<"show 'a b'">>]`, []string{"show", "a b"}},
		{`[status]`, []string{"status"}},
		{`[cluster, ["join", 'a@b']]`, []string{"cluster", "join", "a@b"}},
		{`[trace, ["start", 100]]`, []string{"trace", "start", "100"}},
		{`[[{}]]`, nil},
		{`[17]`, nil},
		{`[{}, []]`, nil},
		{`[a, b]`, nil},
	} {
		list, _ := etf.AsList(parse(t, tt.args))
		got, err := commandWords(list)
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s: %q", tt.args, got)
			}
			continue
		}
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: %q, %v", tt.args, got, err)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %q", tt.args, got)
			}
		}
	}
}

func TestSubscribeOptions(t *testing.T) {
	for _, tt := range []struct {
		opts string
		ok   bool
	}{
		{"[]", true},
		{"#{}", true},
		{"1", true},
		{"#{qos => 2, nl => true, rap => 1, rh => 2}", true},
		{"[{qos, 1}, ack, {max_inflight, 5}, {max_queue, 7}]", true},
		{"#{qos => 3}", false},
		{"3", false},
		{"#{rh => 3}", false},
		{"#{qos => -1}", false},
		{"#{qos => x}", false},
		{"#{max_inflight => 0}", false},
		{"#{max_queue => 0}", false},
		{"#{max_queue => 100000000}", false},
		{"x", false},
		{"{}", false},
		{`"text"`, false},
		{"-1", false},
	} {
		o, err := readSubscribe(parse(t, tt.opts))
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrBadArg) {
			t.Errorf("%s: %+v, %v", tt.opts, o, err)
		}
	}
	o, err := readSubscribe(parse(t, "[{qos, 1}, ack, {max_inflight, 5}, {max_queue, 7}, {nl, 1}, {rh, 1}]"))
	r := o.router()
	if err != nil || !o.Ack || o.MaxInflight != 5 || o.MaxQueue != 7 || r.QoS != 1 || !r.NoLocal || r.RetainHandling != 1 || r.RetainAsPublished {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestMessageTerms: what is published with all options is what a subscriber is
// told.
func TestMessageTerms(t *testing.T) {
	opts := parse(t, `#{qos => 2, retain => true, from => <<"me">>, expiry_interval => 10, content_type => <<"c">>,
		response_topic => "r", correlation_data => <<0, 255>>, payload_format => 1, user_properties => [{<<"k">>, "v"}, {a, <<"b">>}]}`)
	m, err := readMessage(parse(t, `"a/b"`), parse(t, `[<<"x">>, "y", 122]`), opts, "other", 1000)
	if err != nil || m.Topic != "a/b" || string(m.Payload) != "xyz" || m.QoS != 2 || !m.Retain || m.Expires != 11000 {
		t.Fatalf("%+v, %v", m, err)
	}
	got := mqttTerm(&item{m: m, filter: "a/+", qos: 1, retain: true, id: 7}, 1500)
	want := parse(t, `{mqtt, <<"a/b">>, <<"xyz">>, #{qos => 1, retain => true, filter => <<"a/+">>, id => 7, publisher => <<"me">>,
		expiry_interval => 10, payload_format => 1, content_type => <<"c">>, response_topic => <<"r">>,
		correlation_data => <<0, 255>>, user_properties => [{<<"k">>, <<"v">>}, {<<"a">>, <<"b">>}]}}`)
	if !etf.Equal(got, want) {
		t.Errorf("got %s\nwant %s", etf.Format(got), etf.Format(want))
	}
	plain := mqttTerm(&item{m: &message.Message{Topic: "t"}, filter: "t"}, 0)
	if want := parse(t, `{mqtt, <<"t">>, <<>>, #{qos => 0, retain => false, filter => <<"t">>}}`); !etf.Equal(plain, want) {
		t.Errorf("got %s", etf.Format(plain))
	}
	for _, bad := range []string{
		`{1, <<>>, []}`, `{<<"t">>, atom, []}`, `{<<"t">>, <<>>, x}`, `{<<"t">>, <<>>, #{qos => 3}}`,
		`{<<"t">>, <<>>, #{payload_format => 2}}`, `{<<"t">>, <<>>, #{user_properties => x}}`, `{<<"t">>, <<>>, #{user_properties => [x]}}`,
		`{<<"t">>, <<>>, #{user_properties => [{1, 2}]}}`, `{<<"t">>, <<>>, #{expiry_interval => -1}}`,
	} {
		tu := parse(t, bad).(etf.Tuple)
		if m, err := readMessage(tu[0], tu[1], tu[2], "", 0); !errors.Is(err, ErrBadArg) {
			t.Errorf("%s: %+v, %v", bad, m, err)
		}
	}
}

func TestRemshTo(t *testing.T) {
	for text, want := range map[string]bool{
		`{ok, [["n@h"]]}`: true, `{ok, [["other@h"]]}`: false, "error": false, `{ok, [[]]}`: false, `{ok, x}`: false,
	} {
		if got := remshTo(parse(t, text), "n@h"); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// FuzzTerms reads what any peer may send as requests and options: nothing may
// panic, and a message that was read can be told to a subscriber.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{
		"{<<\"t\">>, <<\"p\">>, #{qos => 1, user_properties => [{a, b}]}}", "{subscribe, \"a/#\", [{qos, 1}, ack]}", "[[\"cluster\", status]]", "{m, f, [1]}",
	} {
		v, err := etf.Parse(s)
		if err != nil {
			f.Fatal(err)
		}
		b, err := etf.Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := etf.Decode(b)
		if err != nil {
			return
		}
		_, _ = readSubscribe(v)
		list, ok := v.(etf.Tuple)
		if !ok || len(list) != 3 {
			list = etf.Tuple{v, v, v}
		}
		if m, err := readMessage(list[0], list[1], list[2], "x", 1); err == nil {
			if _, err := etf.Append(nil, mqttTerm(&item{m: m}, 1)); err != nil {
				t.Errorf("message is no term: %v", err)
			}
		}
		_, _ = makeCall(list[0], list[1], list[2])
		_, _ = funCall(list[0], list[1])
		if l, ok := etf.AsList(v); ok && (len(l) == 1 || len(l) == 2) {
			_, _ = commandWords(l)
		}
		remshTo(v, "x")
	})
}
