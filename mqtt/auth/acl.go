package auth

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"ermine/actors/topic"
)

// ParseACL reads rules in the form of EMQX's acl.conf; file is for messages only.
// A rule is {Permission, Who}, {Permission, Who, Action} or
// {Permission, Who, Action, Topics}, ended by a full stop:
//
//	Permission  allow | deny
//	Who         all
//	          | {username, V} | {user, V} | {clientid, V} | {client, V}
//	          | {zone, V} | {listener, V} | {client_attr, Name, V}
//	          | {ipaddr, CIDR} | {ipaddrs, [CIDR, ...]}
//	          | {'and', [Who, ...]} | {'or', [Who, ...]}
//	V           "text" | {re, "regular expression"} | all
//	Action      publish | subscribe | all | pubsub
//	          | {publish, [{qos, Q}, {retain, R}]} | {subscribe, [{qos, Q}]} | {all, [...]}
//	Q           0 | 1 | 2 | [0, 1, ...] | all
//	R           true | false | all
//	Topics      ["filter", {eq, "text"}, ...], or one of them without the list
//
// Filters may hold ${clientid} or %c, ${username} or %u, ${cert_common_name},
// ${cert_subject} and ${client_attrs.NAME}. {eq, T} compares the text of a topic or
// filter. Regular expressions are those of Go (RE2), which have no look-around.
//
// The error joins the mistakes found, up to 20, each a *SyntaxError.
func ParseACL(file, text string) (*Rules, error) {
	r := newTermReader(file, text)
	rules := &Rules{generation: rulesMade.Add(1)}
	var mistakes []error
	for len(mistakes) < maxMistakes {
		t, ok, err := r.form()
		if err != nil {
			mistakes = append(mistakes, err)
			r.skip()
			continue
		}
		if !ok {
			break
		}
		ru, err := aclCompiler{r}.rule(&t)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		rules.rules = append(rules.rules, ru)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return rules, nil
}

// aclCompiler makes rules of terms; the reader knows how to report mistakes.
type aclCompiler struct{ r *termReader }

func (p aclCompiler) rule(t *term) (rule, *SyntaxError) {
	ru := rule{types: [2]bool{true, true}, qos: [3]bool{true, true, true}, anyTopic: true}
	if t.kind != termTuple || len(t.items) < 2 || len(t.items) > 4 {
		return ru, p.r.errorAt(t.pos, "want a rule: {allow | deny, Who, Action, Topics}")
	}
	switch permission := &t.items[0]; {
	case permission.isAtom("allow"):
		ru.decision = Allow
	case permission.isAtom("deny"):
		ru.decision = Deny
	default:
		return ru, p.r.errorAt(permission.pos, "want allow or deny")
	}
	var err *SyntaxError
	if ru.who, err = p.who(&t.items[1]); err != nil {
		return ru, err
	}
	if len(t.items) > 2 {
		if err := p.action(&t.items[2], &ru); err != nil {
			return ru, err
		}
	}
	if len(t.items) > 3 {
		if err := p.topics(&t.items[3], &ru); err != nil {
			return ru, err
		}
	}
	return ru, nil
}

// clientProperties are the properties of a client that a rule can name.
var clientProperties = map[string]func(*Client) string{
	"username": func(c *Client) string { return c.Username },
	"user":     func(c *Client) string { return c.Username },
	"clientid": func(c *Client) string { return c.ClientID },
	"client":   func(c *Client) string { return c.ClientID },
	"zone":     func(c *Client) string { return c.Zone },
	"listener": func(c *Client) string { return c.Listener },
}

func (p aclCompiler) who(t *term) (who, *SyntaxError) {
	switch {
	case t.isAtom("all"):
		return whoAll{}, nil
	case t.isTuple(2, "ipaddr", "ipaddrs"):
		return p.addrs(&t.items[1])
	case t.isTuple(2, "and", "or"):
		list := &t.items[1]
		if list.kind != termList || len(list.items) == 0 {
			return nil, p.r.errorAt(list.pos, "want a list of who, got %v", list.kind)
		}
		parts := make([]who, len(list.items))
		for i := range list.items {
			var err *SyntaxError
			if parts[i], err = p.who(&list.items[i]); err != nil {
				return nil, err
			}
		}
		if t.items[0].text == "and" {
			return whoAnd(parts), nil
		}
		return whoOr(parts), nil
	case t.isTuple(3, "client_attr"):
		name := &t.items[1]
		if name.kind != termString && name.kind != termAtom {
			return nil, p.r.errorAt(name.pos, "want the name of an attribute, got %v", name.kind)
		}
		return p.text(&t.items[2], attribute(name.text))
	case t.kind == termTuple && len(t.items) == 2 && t.items[0].kind == termAtom:
		if get := clientProperties[t.items[0].text]; get != nil {
			return p.text(&t.items[1], get)
		}
	}
	return nil, p.r.errorAt(t.pos, "want who: all, or a tuple of username, clientid, ipaddr, ipaddrs, zone, listener, client_attr, 'and' or 'or'")
}

func attribute(name string) func(*Client) string {
	return func(c *Client) string { return c.Attributes[name] }
}

func (p aclCompiler) text(t *term, get func(*Client) string) (who, *SyntaxError) {
	switch {
	case t.isAtom("all"):
		return whoAll{}, nil
	case t.kind == termString:
		return whoText{get: get, text: t.text}, nil
	case t.isTuple(2, "re") && t.items[1].kind == termString:
		pattern, err := regexp.Compile(t.items[1].text)
		if err != nil {
			return nil, p.r.errorAt(t.items[1].pos, "%v", err)
		}
		return whoText{get: get, pattern: pattern}, nil
	}
	return nil, p.r.errorAt(t.pos, `want a string or {re, "..."}, got %v`, t.kind)
}

func (p aclCompiler) addrs(t *term) (who, *SyntaxError) {
	items := []term{*t}
	if t.kind == termList {
		items = t.items
	}
	addrs := make(whoAddrs, 0, len(items))
	for i := range items {
		item := &items[i]
		if item.kind != termString {
			return nil, p.r.errorAt(item.pos, "want an address or CIDR in quotes, got %v", item.kind)
		}
		text := strings.TrimSpace(item.text)
		if addr, err := netip.ParseAddr(text); err == nil {
			addr = addr.Unmap()
			addrs = append(addrs, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, p.r.errorAt(item.pos, "%q is no address or CIDR", item.text)
		}
		addrs = append(addrs, prefix.Masked())
	}
	return addrs, nil
}

func (p aclCompiler) action(t *term, ru *rule) *SyntaxError {
	name, options := t, (*term)(nil)
	if t.kind == termTuple && len(t.items) == 2 {
		name, options = &t.items[0], &t.items[1]
	}
	switch {
	case name.isAtom("publish"):
		ru.types = [2]bool{Publish: true}
	case name.isAtom("subscribe"):
		ru.types = [2]bool{Subscribe: true}
	case name.isAtom("all", "pubsub"):
	default:
		return p.r.errorAt(name.pos, "want an action: publish, subscribe or all")
	}
	if options == nil {
		return nil
	}
	if options.kind != termList {
		return p.r.errorAt(options.pos, "want a list of {qos, ...} and {retain, ...}, got %v", options.kind)
	}
	for i := range options.items {
		option := &options.items[i]
		var err *SyntaxError
		switch {
		case option.isTuple(2, "qos"):
			err = p.qos(&option.items[1], ru)
		case option.isTuple(2, "retain") && ru.types[Publish]:
			err = p.retain(&option.items[1], ru)
		default:
			err = p.r.errorAt(option.pos, "want {qos, ...} or, for publish, {retain, ...}")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p aclCompiler) qos(t *term, ru *rule) *SyntaxError {
	if t.isAtom("all") {
		return nil
	}
	items := []term{*t}
	if t.kind == termList {
		items = t.items
	}
	ru.qos = [3]bool{}
	for i := range items {
		item := &items[i]
		if item.kind != termInteger || item.value < 0 || item.value > 2 {
			return p.r.errorAt(item.pos, "want a QoS of 0, 1 or 2")
		}
		ru.qos[item.value] = true
	}
	return nil
}

func (p aclCompiler) retain(t *term, ru *rule) *SyntaxError {
	switch {
	case t.isAtom("true"):
		ru.retain = retainOnly
	case t.isAtom("false"):
		ru.retain = retainNot
	case t.isAtom("all"):
		ru.retain = retainAny
	default:
		return p.r.errorAt(t.pos, "want true, false or all")
	}
	return nil
}

func (p aclCompiler) topics(t *term, ru *rule) *SyntaxError {
	items := []term{*t}
	if t.kind == termList {
		items = t.items
	} else if t.isAtom("all") {
		return nil
	}
	ru.anyTopic = false
	for i := range items {
		item := &items[i]
		switch {
		case item.kind == termString:
			tr, err := p.filter(item)
			if err != nil {
				return err
			}
			// Every topic but those that begin with $ matches #, so # is no
			// anyTopic.
			ru.topics = append(ru.topics, tr)
		case item.isTuple(2, "eq") && item.items[1].kind == termString:
			ru.topics = append(ru.topics, topicRule{exact: true, text: item.items[1].text})
		default:
			return p.r.errorAt(item.pos, `want a topic in quotes or {eq, "..."}, got %v`, item.kind)
		}
	}
	return nil
}

// placeholder matches what looks like one.
var placeholder = regexp.MustCompile(`%[cu]|\$\{[^}]*\}`)

func (p aclCompiler) filter(t *term) (topicRule, *SyntaxError) {
	tr := topicRule{text: t.text}
	from := 0
	for _, at := range placeholder.FindAllStringIndex(t.text, -1) {
		if t.text[at[0]] == '%' && !wholeLevel(t.text, at[0], at[1]) {
			continue
		}
		get := placeholderValue(t.text[at[0]:at[1]])
		if get == nil {
			return tr, p.r.errorAt(t.pos, "unknown placeholder %s", t.text[at[0]:at[1]])
		}
		if at[0] > from {
			tr.parts = append(tr.parts, topicPart{literal: t.text[from:at[0]]})
		}
		tr.parts = append(tr.parts, topicPart{get: get})
		from = at[1]
	}
	if tr.parts != nil && from < len(t.text) {
		tr.parts = append(tr.parts, topicPart{literal: t.text[from:]})
	}
	// With a letter in place of each placeholder the rest must be a filter; behind
	// another level, so that $share/ and the like are levels as any other.
	if _, err := topic.ParseFilter("x/" + placeholder.ReplaceAllString(t.text, "x")); err != nil || t.text == "" {
		return tr, p.r.errorAt(t.pos, "%q is no topic filter", t.text)
	}
	return tr, nil
}

// wholeLevel reports whether text[from:to] is a level of its own.
func wholeLevel(text string, from, to int) bool {
	return (from == 0 || text[from-1] == '/') && (to == len(text) || text[to] == '/')
}

func placeholderValue(text string) func(*Client) string {
	switch text {
	case "%c", "${clientid}":
		return clientProperties["clientid"]
	case "%u", "${username}":
		return clientProperties["username"]
	case "${cert_common_name}":
		return func(c *Client) string { return c.CertCN }
	case "${cert_subject}":
		return func(c *Client) string { return c.CertDN }
	}
	if name, ok := strings.CutPrefix(text, "${client_attrs."); ok {
		return attribute(strings.TrimSuffix(name, "}"))
	}
	return nil
}
