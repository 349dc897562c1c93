package epmd

import (
	"errors"
	"testing"
)

func TestStaticPortRule(t *testing.T) {
	tests := []struct {
		node   string
		offset int
	}{
		{"emqx@192.168.0.12", 0},
		{"emqx1@host.example", 1},
		{"emqx-1@host.example", 1},
		{"emqx12@127.0.0.1", 12},
		{"emqx01@127.0.0.1", 1},
		{"node2a@127.0.0.1", 0},
		{"n1b2@127.0.0.1", 2},
		{"emqx60165@127.0.0.1", 165},
		{"emqx59999@127.0.0.1", 59999},
		{"emqx60000@127.0.0.1", 0},
		{"123@127.0.0.1", 123},
		{"x5@::1", 5},
		{"short7", 7},
		{"", 0},
		// More digits than any integer type holds: 10^53 + 60007 modulo 60000.
		{"a100000000000000000000000000000000000000000000000000060007@h", 40007},
	}
	for _, tt := range tests {
		if got := Offset(tt.node); got != tt.offset {
			t.Errorf("Offset(%q) = %d, want %d", tt.node, got, tt.offset)
		}
		if got := DistPort(tt.node); int(got) != 4370+tt.offset {
			t.Errorf("DistPort(%q) = %d, want %d", tt.node, got, 4370+tt.offset)
		}
		if got := DataPort(tt.node); int(got) != 5370+tt.offset {
			t.Errorf("DataPort(%q) = %d, want %d", tt.node, got, 5370+tt.offset)
		}
	}
}

func TestSplitName(t *testing.T) {
	for node, want := range map[string][2]string{
		"a@b":           {"a", "b"},
		"x@::1":         {"x", "::1"},
		"n1@h.example":  {"n1", "h.example"},
		"n1@192.0.2.10": {"n1", "192.0.2.10"},
	} {
		short, host, err := SplitName(node)
		if err != nil || short != want[0] || host != want[1] {
			t.Errorf("SplitName(%q) = %q, %q, %v", node, short, host, err)
		}
	}
	for _, node := range []string{"", "a", "@b", "a@", "a@b@c"} {
		if _, _, err := SplitName(node); !errors.Is(err, ErrBadName) {
			t.Errorf("SplitName(%q): %v, want ErrBadName", node, err)
		}
	}
}
