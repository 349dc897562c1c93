package auth

import (
	"context"
	"net/netip"
	"strings"
	"testing"
)

// emqxACL is the acl.conf that EMQX 5 ships.
const emqxACL = `%%--------------------------------------------------------------------
%% -type(ipaddr() :: {ipaddr, string()}).
%%--------------------------------------------------------------------
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.

{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.

{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.

{allow, all}.
%% NOTE: when deploy in production:
`

func mustACL(t testing.TB, text string) *Rules {
	t.Helper()
	rules, err := ParseACL("acl.conf", text)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func client() *Client {
	return &Client{
		ClientID: "c1", Username: "u1", Peer: netip.MustParseAddr("10.1.2.3"), Listener: "tcp:default", Zone: "default",
		CertCN: "cn1", CertDN: "CN=cn1,O=Ermine", Attributes: map[string]string{"site": "berlin"},
	}
}

func TestRules(t *testing.T) {
	pub := func(qos byte, retain bool) Action { return Action{Publish, qos, retain} }
	sub := Action{Type: Subscribe}
	tests := []struct {
		name   string
		acl    string
		change func(c *Client)
		action Action
		topic  string
		want   Decision
	}{
		{"no rules", ``, nil, sub, "a", Ignore},
		{"all", `{allow, all}.`, nil, sub, "#", Allow},
		{"first match", `{deny, all}. {allow, all}.`, nil, sub, "a", Deny},
		{"action", `{deny, all, publish}. {allow, all, subscribe}.`, nil, sub, "a", Allow},
		{"pubsub of EMQX 4", `{deny, all, pubsub, ["a"]}.`, nil, sub, "a", Deny},
		{"topic without a list", `{deny, all, all, "a/#"}.`, nil, sub, "a/b", Deny},
		{"binary", `{deny, {username, <<"u1">>}, all, [<<"a/"/utf8>>]}.`, nil, sub, "a/", Deny},

		{"username", `{allow, {username, "u1"}}.`, nil, sub, "a", Allow},
		{"user", `{allow, {user, "u1"}}.`, nil, sub, "a", Allow},
		{"user all", `{allow, {user, all}}.`, nil, sub, "a", Allow},
		{"another user", `{allow, {user, "u2"}}.`, nil, sub, "a", Ignore},
		{"pattern", `{allow, {username, {re, "^u[0-9]$"}}}.`, nil, sub, "a", Allow},
		{"pattern, anonymous", `{allow, {username, {re, ".*"}}}.`, func(c *Client) { c.Username = "" }, sub, "a", Ignore},
		{"clientid", `{allow, {clientid, "c1"}}.`, nil, sub, "a", Allow},
		{"client", `{allow, {client, {re, "^c"}}}.`, nil, sub, "a", Allow},
		{"zone", `{allow, {zone, "default"}}.`, nil, sub, "a", Allow},
		{"listener", `{allow, {listener, {re, "^ssl:"}}}.`, nil, sub, "a", Ignore},
		{"attribute", `{allow, {client_attr, "site", "berlin"}}.`, nil, sub, "a", Allow},
		{"ipaddr", `{allow, {ipaddr, "10.1.2.3"}}.`, nil, sub, "a", Allow},
		{"ipaddr in IPv6", `{allow, {ipaddr, "10.1.2.3"}}.`, func(c *Client) { c.Peer = netip.MustParseAddr("::ffff:10.1.2.3") }, sub, "a", Allow},
		{"CIDR", `{allow, {ipaddr, "10.0.0.0/8"}}.`, nil, sub, "a", Allow},
		{"ipaddrs", `{allow, {ipaddrs, ["127.0.0.1", "::1", "10.1.0.0/16"]}}.`, nil, sub, "a", Allow},
		{"other ipaddrs", `{allow, {ipaddrs, ["127.0.0.1", "11.0.0.0/8"]}}.`, nil, sub, "a", Ignore},
		{"and", `{allow, {'and', [{user, "u1"}, {client, "c1"}]}}.`, nil, sub, "a", Allow},
		{"and, one wrong", `{allow, {'and', [{user, "u1"}, {client, "c2"}]}}.`, nil, sub, "a", Ignore},
		{"or", `{allow, {'or', [{user, "u2"}, {client, "c1"}]}}.`, nil, sub, "a", Allow},
		{"or in and", `{allow, {'and', [{'or', [{user, "u2"}, {user, "u1"}]}, {ipaddr, "10.0.0.0/8"}]}}.`, nil, sub, "a", Allow},

		{"qos", `{allow, all, {publish, [{qos, 1}]}, ["a"]}.`, nil, pub(1, false), "a", Allow},
		{"other qos", `{allow, all, {publish, [{qos, 1}]}, ["a"]}.`, nil, pub(0, false), "a", Ignore},
		{"qos list", `{allow, all, {all, [{qos, [0, 1]}]}}.`, nil, Action{Subscribe, 1, false}, "a", Allow},
		{"retain only", `{deny, all, {publish, [{retain, true}]}, ["a"]}.`, nil, pub(0, true), "a", Deny},
		{"retain only, without", `{deny, all, {publish, [{retain, true}]}, ["a"]}.`, nil, pub(0, false), "a", Ignore},
		{"no retain", `{deny, all, {publish, [{qos, 0}, {retain, false}]}, ["a"]}.`, nil, pub(0, true), "a", Ignore},
		{"retain of a subscription", `{deny, all, {all, [{retain, true}]}}.`, nil, sub, "a", Deny},

		{"eq", `{deny, all, subscribe, [{eq, "a/#"}]}.`, nil, sub, "a/#", Deny},
		{"eq is no filter", `{deny, all, subscribe, [{eq, "a/#"}]}.`, nil, sub, "a/b", Ignore},
		{"# spares $SYS", `{deny, all, subscribe, ["#"]}.`, nil, sub, "$SYS/x", Ignore},
		{"allow covers", `{allow, all, subscribe, ["a/#"]}.`, nil, sub, "a/+/b/#", Allow},
		{"allow does not widen", `{allow, all, subscribe, ["a/+"]}.`, nil, sub, "a/#", Ignore},
		{"allow does not widen to #", `{allow, all, subscribe, ["a/b"]}.`, nil, sub, "#", Ignore},
		{"deny catches wildcards", `{deny, all, subscribe, ["a/+"]}.`, nil, sub, "a/#", Deny},
		{"deny as in EMQX lets # through", `{deny, all, subscribe, ["a/b"]}. {allow, all}.`, nil, sub, "#", Allow},

		{"${clientid}", `{allow, all, publish, ["dev/${clientid}/#"]}.`, nil, pub(0, false), "dev/c1/x", Allow},
		{"of another", `{allow, all, publish, ["dev/${clientid}/#"]}.`, nil, pub(0, false), "dev/c2/x", Ignore},
		{"%c and %u", `{allow, all, publish, ["%u/%c"]}.`, nil, pub(0, false), "u1/c1", Allow},
		{"%c within a level is text", `{allow, all, publish, ["100%cotton"]}.`, nil, pub(0, false), "100%cotton", Allow},
		{"within a level", `{allow, all, publish, ["d-${username}-x"]}.`, nil, pub(0, false), "d-u1-x", Allow},
		{"certificate", `{allow, all, publish, ["${cert_common_name}/${client_attrs.site}"]}.`, nil, pub(0, false), "cn1/berlin", Allow},
		{"unknown value", `{allow, all, publish, ["${username}/x"]}.`, func(c *Client) { c.Username = "" }, pub(0, false), "/x", Ignore},
		{"client ID # does not widen", `{allow, all, subscribe, ["dev/${clientid}"]}.`, func(c *Client) { c.ClientID = "#" }, sub, "dev/#", Ignore},
		{"client ID + does not widen", `{allow, all, publish, ["dev/${clientid}"]}.`, func(c *Client) { c.ClientID = "+" }, pub(0, false), "dev/other", Ignore},
		{"client ID + does not escape", `{deny, all, publish, ["dev/${clientid}"]}.`, func(c *Client) { c.ClientID = "+" }, pub(0, false), "dev/+", Deny},

		{"EMQX: $SYS", emqxACL, nil, sub, "$SYS/brokers", Deny},
		{"EMQX: #", emqxACL, nil, sub, "#", Deny},
		{"EMQX: +/#", emqxACL, nil, sub, "+/#", Deny},
		{"EMQX: a/#", emqxACL, nil, sub, "a/#", Allow},
		{"EMQX: publish", emqxACL, nil, pub(2, true), "$SYS/x", Allow},
		{"EMQX: local $SYS", emqxACL, func(c *Client) { c.Peer = netip.MustParseAddr("127.0.0.1") }, sub, "$SYS/#", Allow},
		{"EMQX: local #", emqxACL, func(c *Client) { c.Peer = netip.MustParseAddr("127.0.0.1") }, sub, "#", Allow},
		{"EMQX: dashboard", emqxACL, func(c *Client) { c.Username = "dashboard" }, sub, "$SYS/a", Allow},
		{"EMQX: almost dashboard", emqxACL, func(c *Client) { c.Username = "dashboard2" }, sub, "$SYS/a", Deny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := client()
			if tt.change != nil {
				tt.change(c)
			}
			rules := mustACL(t, tt.acl)
			got := rules.Authorize(t.Context(), c, tt.action, tt.topic)
			if got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if o := rules.Outcomes(c, tt.action.Type); !o.Has(got) {
				t.Errorf("outcomes %b do not have %v", o, got)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		acl       string
		pub, subs Outcomes
	}{
		{``, Set(Ignore), Set(Ignore)},
		{`{allow, all}.`, Set(Allow), Set(Allow)},
		{emqxACL, Set(Allow), Set(Allow, Deny)},
		{`{deny, {user, "other"}}. {allow, all}.`, Set(Allow), Set(Allow)},
		{`{deny, all, publish}. {allow, all, all, ["a"]}.`, Set(Deny), Set(Allow, Ignore)},
		{`{allow, all, {publish, [{retain, false}]}}.`, Set(Allow, Ignore), Set(Ignore)},
		{`{allow, all, {all, [{qos, [0,1,2]}]}}.`, Set(Allow), Set(Allow)},
		{`{allow, all, all, ["#"]}.`, Set(Allow, Ignore), Set(Allow, Ignore)},
	}
	for _, tt := range tests {
		rules, c := mustACL(t, tt.acl), client()
		if got := rules.Outcomes(c, Publish); got != tt.pub {
			t.Errorf("%s: publish %b, want %b", tt.acl, got, tt.pub)
		}
		if got := rules.Outcomes(c, Subscribe); got != tt.subs {
			t.Errorf("%s: subscribe %b, want %b", tt.acl, got, tt.subs)
		}
	}
}

func TestClientsShareAPlan(t *testing.T) {
	rules := mustACL(t, emqxACL)
	a, b, local := client(), client(), client()
	b.ClientID = "c2"
	local.Peer = netip.MustParseAddr("127.0.0.1")
	if rules.plan(a) != rules.plan(b) {
		t.Error("two clients of one kind have two plans")
	}
	if rules.plan(a) == rules.plan(local) {
		t.Error("a local client has the plan of the others")
	}
}

func TestMistakesHavePositions(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{allow, all}`, "acl.conf:1:13: want a full stop after the term, got the end of the file"},
		{"\n  {permit, all}.", "acl.conf:2:4: want allow or deny"},
		{`{allow, everybody}.`, "acl.conf:1:9: want who: all, or"},
		{`{allow, all, read}.`, "acl.conf:1:14: want an action: publish, subscribe or all"},
		{`{allow, all, subscribe, ["a", 5]}.`, "acl.conf:1:31: want a topic in quotes"},
		{`{allow, all, subscribe, ["a/#/b"]}.`, `acl.conf:1:26: "a/#/b" is no topic filter`},
		{`{allow, all, subscribe, ["a+"]}.`, `acl.conf:1:26: "a+" is no topic filter`},
		{`{allow, all, subscribe, [""]}.`, `acl.conf:1:26: "" is no topic filter`},
		{`{allow, all, subscribe, ["${nothing}"]}.`, "acl.conf:1:26: unknown placeholder ${nothing}"},
		{`{allow, {username, {re, "("}}}.`, "acl.conf:1:25: error parsing regexp"},
		{`{allow, {username, {re, "(?=x)"}}}.`, "acl.conf:1:25: error parsing regexp"},
		{`{allow, {username, 5}}.`, `acl.conf:1:20: want a string or {re, "..."}, got a number`},
		{`{allow, {ipaddr, "10.0.0.0/40"}}.`, `acl.conf:1:18: "10.0.0.0/40" is no address or CIDR`},
		{`{allow, {'and', []}}.`, "acl.conf:1:17: want a list of who"},
		{`{allow, all, {publish, [{qos, 3}]}}.`, "acl.conf:1:31: want a QoS of 0, 1 or 2"},
		{`{allow, all, {subscribe, [{retain, true}]}}.`, "acl.conf:1:27: want {qos, ...}"},
		{`{allow, All}.`, "acl.conf:1:9: All is a variable"},
		{`{allow, {user, "x}}.`, "acl.conf:1:16: this quote is not closed"},
		{`{allow, {user, "x"`, "acl.conf:1:9: this bracket is not closed"},
		{`{allow; all}.`, "acl.conf:1:7: want , or }, got ';'"},
		{`"ä" {allow, all}.`, "acl.conf:1:5: want a full stop"},
		{`{allow, all}.{deny, all}.`, "acl.conf:1:14: want white space after the full stop"},
		{`{allow, {user, "\x{110000}"}}.`, "acl.conf:1:17: this escape is no character"},
		{"{allow, {user, \"\xff\"}}.", "acl.conf:1:17: the text is not UTF-8"},
		{strings.Repeat("[", 100), "acl.conf:1:34: terms are nested deeper than 32"},
		{`allow.`, "acl.conf:1:1: want a rule"},
	}
	for _, tt := range tests {
		_, err := ParseACL("acl.conf", tt.in)
		if err == nil {
			t.Errorf("%s: accepted", tt.in)
			continue
		}
		if first, _, _ := strings.Cut(err.Error(), "\n"); !strings.HasPrefix(first, tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.in, first, tt.want)
		}
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	_, err := ParseACL("f", "{allow, all}.\n{oops.\n{deny, nobody}.\n{allow, all}\n{deny, all}.\n{allow, all}.\n{x}.\n")
	if err == nil {
		t.Fatal("accepted")
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		lines = append(lines, strings.Join(strings.SplitN(line, ":", 4)[:3], ":"))
	}
	if got, want := strings.Join(lines, " "), "f:2:6 f:3:8 f:5:1 f:7:1"; got != want {
		t.Errorf("mistakes at %s, want %s\n%v", got, want, err)
	}
}

func TestTermEscapes(t *testing.T) {
	r := newTermReader("f", `"a\"b\\c\x41\x{e4}\101\n" 'it''s'.`)
	got, err := r.term(0)
	if err != nil {
		t.Fatal(err)
	}
	if want := "a\"b\\cAäA\n"; got.text != want {
		t.Errorf("got %q, want %q", got.text, want)
	}
	r = newTermReader("f", `"one " "string".`)
	if got, ok, err := r.form(); !ok || err != nil || got.text != "one string" {
		t.Errorf("got %q, %t, %v", got.text, ok, err)
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add(emqxACL)
	f.Add(`{deny, {'and', [{user, {re, "x"}}, {ipaddrs, ["10.0.0.0/8"]}]}, {publish, [{qos, [1]}, {retain, all}]}, [{eq, "a"}, "%u/${clientid}/#"]}.`)
	f.Add(`{allow, <<"x"/utf8>>, 'q\'', "\x{41}" "b", -5}.`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseACL("f", text)
		if err != nil {
			if rules != nil {
				t.Fatal("rules and an error")
			}
			if err.Error() == "" || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("an error without a position: %v", err)
			}
			return
		}
		// Whatever is decided must have been announced.
		for _, c := range []*Client{client(), {}} {
			for _, act := range []Action{{Publish, 0, false}, {Publish, 1, true}, {Subscribe, 2, false}} {
				for _, name := range []string{"a", "a/b", "$SYS/x", "#", "+/#", "a/#"} {
					d := rules.Authorize(context.Background(), c, act, name)
					if !rules.Outcomes(c, act.Type).Has(d) {
						t.Fatalf("%v for %v %s is not among the outcomes", d, act, name)
					}
				}
			}
		}
	})
}
