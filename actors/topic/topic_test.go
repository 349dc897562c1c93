package topic

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidateName(t *testing.T) {
	long := strings.Repeat("x", MaxLen)
	for _, tt := range []struct {
		clause, name string
		want         error
	}{
		{"", "a", nil},
		{"", "/", nil},
		{"", "//a b//", nil},
		{"", "$SYS/x", nil},
		{"", "$share/g/t", nil},
		{"", "finance/é/日本", nil},
		{"MQTT-4.7.3-1", "", ErrEmpty},
		{"MQTT-4.7.3-2", "a\x00b", ErrNull},
		{"MQTT-1.5.4-2", "é\x00", ErrNull},
		{"MQTT-4.7.3-3", long, nil},
		{"MQTT-4.7.3-3", long + "x", ErrTooLong},
		{"MQTT-3.3.2-2", "a/+/b", ErrWildcardInName},
		{"MQTT-3.3.2-2", "a/#", ErrWildcardInName},
		{"MQTT-3.3.2-2", "a+b", ErrWildcardInName},
		{"MQTT-1.5.4-1", "a\xffb", ErrNotUTF8},
		{"MQTT-1.5.4-1", "\xed\xa0\x80", ErrNotUTF8},               // U+D800
		{"MQTT-1.5.4-1", "\xed\xbf\xbf", ErrNotUTF8},               // U+DFFF
		{"MQTT-1.5.4-1", "\xc0\x80", ErrNotUTF8},                   // overlong U+0000
		{"MQTT-1.5.4-1", "\xf4\x90\x80\x80", ErrNotUTF8},           // above U+10FFFF
		{"MQTT-1.5.4-1", "a\xe2\x82", ErrNotUTF8},                  // cut short
		{"MQTT-1.5.4-3", "\ufeffa", nil},                           // a BOM is text
		{"MQTT-1.5.4-1", "\uffff/\U0001f4a9/\U0010ffff/\x01", nil}, // SHOULD NOT, but may
	} {
		if err := ValidateName(tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s ValidateName(%s) = %v, want %v", tt.clause, quote(tt.name), err, tt.want)
		}
	}
}

func TestParseFilter(t *testing.T) {
	plain := func(f Filter, wild bool) Parsed { return Parsed{Filter: f, Wildcard: wild} }
	for _, tt := range []struct {
		clause, filter string
		want           Parsed
		err            error
	}{
		{"", "a", plain("a", false), nil},
		{"", "/", plain("/", false), nil},
		{"", "a//b", plain("a//b", false), nil},
		{"MQTT-4.7.1-1", "#", plain("#", true), nil},
		{"MQTT-4.7.1-1", "a/#", plain("a/#", true), nil},
		{"MQTT-4.7.1-1", "/#", plain("/#", true), nil},
		{"MQTT-4.7.1-1", "a#", Parsed{}, ErrMultiLevel},
		{"MQTT-4.7.1-1", "a/#/b", Parsed{}, ErrMultiLevel},
		{"MQTT-4.7.1-1", "a/#/", Parsed{}, ErrMultiLevel},
		{"MQTT-4.7.1-1", "##", Parsed{}, ErrMultiLevel},
		{"MQTT-4.7.1-1", "a/#b", Parsed{}, ErrMultiLevel},
		{"MQTT-4.7.1-2", "+", plain("+", true), nil},
		{"MQTT-4.7.1-2", "+/a/+", plain("+/a/+", true), nil},
		{"MQTT-4.7.1-2", "/+", plain("/+", true), nil},
		{"MQTT-4.7.1-2", "+/", plain("+/", true), nil},
		{"MQTT-4.7.1-2", "a/+/#", plain("a/+/#", true), nil},
		{"MQTT-4.7.1-2", "a+", Parsed{}, ErrSingleLevel},
		{"MQTT-4.7.1-2", "+a", Parsed{}, ErrSingleLevel},
		{"MQTT-4.7.1-2", "a/++/b", Parsed{}, ErrSingleLevel},
		{"MQTT-4.7.1-1", "+#", Parsed{}, ErrSingleLevel},
		{"MQTT-4.7.3-1", "", Parsed{}, ErrEmpty},
		{"MQTT-4.7.3-2", "a/\x00", Parsed{}, ErrNull},
		{"MQTT-1.5.4-1", "a/\xc3\x28", Parsed{}, ErrNotUTF8},
		{"MQTT-4.7.3-3", strings.Repeat("/", MaxLen+1), Parsed{}, ErrTooLong},
		{"MQTT-4.7.3-3", "$share/g/" + strings.Repeat("/", MaxLen-8), Parsed{}, ErrTooLong},

		{"MQTT-4.8.2-1", "$share/g/a/+", Parsed{Share, "g", "a/+", true}, nil},
		{"MQTT-4.8.2-1", "$share/g//", Parsed{Share, "g", "/", false}, nil},
		{"MQTT-4.8.2-1", "$share/g/#", Parsed{Share, "g", "#", true}, nil},
		{"MQTT-4.8.2-1", "$share/g/$SYS/#", Parsed{Share, "g", "$SYS/#", true}, nil},
		{"MQTT-4.8.2-1", "$share//a", Parsed{}, ErrShareName},
		{"MQTT-4.8.2-2", "$share/g", Parsed{}, ErrShareName},
		{"MQTT-4.8.2-2", "$share/", Parsed{}, ErrShareName},
		{"MQTT-4.8.2-2", "$share/g/", Parsed{}, ErrEmpty},
		{"MQTT-4.8.2-2", "$share/+/a", Parsed{}, ErrShareName},
		{"MQTT-4.8.2-2", "$share/g#/a", Parsed{}, ErrShareName},
		{"MQTT-4.8.2-2", "$share/g/a#", Parsed{}, ErrMultiLevel},
		{"MQTT-1.5.4-1", "$share/\xff/a", Parsed{}, ErrNotUTF8},
		{"", "$share", plain("$share", false), nil},
		{"", "$SHARE/g/a", plain("$SHARE/g/a", false), nil},
		{"", "x$share/g/a", plain("x$share/g/a", false), nil},

		{"", "$queue/a/#", Parsed{Queue, QueueGroup, "a/#", true}, nil},
		{"", "$queue/", Parsed{}, ErrEmpty},
		{"", "$queue", plain("$queue", false), nil},
		{"", "$exclusive/a/b", Parsed{Exclusive, "", "a/b", false}, nil},
		{"", "$exclusive/", Parsed{}, ErrEmpty},
		{"", "$exclusive/a#", Parsed{}, ErrMultiLevel},
		{"", "$exclusive/$share/g/t", Parsed{}, ErrNested},
		{"", "$share/g/$queue/t", Parsed{}, ErrNested},
		{"", "$queue/$exclusive/t", Parsed{}, ErrNested},
	} {
		got, err := ParseFilter(tt.filter)
		if !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("%s ParseFilter(%s) = %+v, %v, want %+v, %v", tt.clause, quote(tt.filter), got, err, tt.want, tt.err)
		}
		if err == nil && got.String() != tt.filter {
			t.Errorf("ParseFilter(%q).String() = %q", tt.filter, got)
		}
	}
}

func TestParseDelayed(t *testing.T) {
	now := time.Unix(1_700_000_000, 500)
	for _, tt := range []struct {
		name string
		to   Name
		due  time.Time
		ok   bool
		err  error
	}{
		{"a/b", "", time.Time{}, false, nil},
		{"$delayed", "", time.Time{}, false, nil},
		{"$delayed/0/t", "t", now, true, nil},
		{"$delayed/15/x/y/z", "x/y/z", now.Add(15 * time.Second), true, nil},
		{"$delayed/5//", "/", now.Add(5 * time.Second), true, nil},
		{"$delayed/4294966/t", "t", now.Add(4294966 * time.Second), true, nil},
		{"$delayed/4294967/t", "t", time.Unix(4294967, 0), true, nil}, // a Unix time, long past
		{"$delayed/1700000060/t", "t", now.Add(60*time.Second - 500), true, nil},
		{"$delayed/1704294967/t", "t", now.Add(4294967*time.Second - 500), true, nil},
		{"$delayed/1704294968/t", "t", time.Time{}, true, ErrDelayTooFar},
		{"$delayed/9223372036854775807/t", "t", time.Time{}, true, ErrDelayTooFar},
		{"$delayed/9223372036854775808/t", "", time.Time{}, true, ErrDelay},
		{"$delayed/", "", time.Time{}, true, ErrDelay},
		{"$delayed/5", "", time.Time{}, true, ErrDelay},
		{"$delayed//t", "", time.Time{}, true, ErrDelay},
		{"$delayed/-5/t", "", time.Time{}, true, ErrDelay},
		{"$delayed/1.5/t", "", time.Time{}, true, ErrDelay},
		{"$delayed/1_0/t", "", time.Time{}, true, ErrDelay},
		{"$delayed/5/", "", time.Time{}, true, ErrEmpty},
		{"$delayed/5/a/#", "", time.Time{}, true, ErrWildcardInName},
		{"$delayed/5/$delayed/5/t", "", time.Time{}, true, ErrNested},
	} {
		d, ok, err := ParseDelayed(tt.name)
		var due time.Time
		if ok && err == nil {
			due, err = d.Due(now)
		}
		if d.Name != tt.to || ok != tt.ok || !errors.Is(err, tt.err) || !due.Equal(tt.due) {
			t.Errorf("ParseDelayed(%q) = %+v, %v, %v, due %v, want %q, %v, %v, %v",
				tt.name, d, ok, err, due, tt.to, tt.ok, tt.err, tt.due)
		}
	}
}

func TestLevels(t *testing.T) {
	for s, want := range map[Filter]int{"a": 1, "/": 2, "a/b/#": 3, "//": 3, "$SYS/": 2} {
		if got := Levels(s); got != want {
			t.Errorf("Levels(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		filter Filter
		name   Name
		want   bool
	}{
		// the examples of MQTT 5 §4.7.1
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		// §4.7.2: $-names [MQTT-4.7.2-1]
		{"#", "$SYS/x", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"+", "$SYS", false},
		{"+/#", "$SYS", false},
		{"a/+", "a/$x", true},
		{"a/#", "a/$x", true},
		// §4.7.3: case, empty levels
		{"ACCOUNTS", "Accounts", false},
		{"a", "a", true},
		{"a", "a/", false},
		{"a/", "a", false},
		{"a", "/a", false},
		{"/#", "/", true},
		{"/#", "a", false},
		{"#", "/", true},
		{"#", "a", true},
		{"+/#", "a", true},
		{"+/+/#", "a", false},
		{"a/+/c", "a//c", true},
		{"a/b", "a/bc", false},
		{"a/bc", "a/b", false},
	} {
		if got := Match(tt.filter, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.filter, tt.name, got)
		}
	}
}
