package cluster

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func nodeNames(line string) []NodeName {
	var names []NodeName
	for n := range strings.FieldsSeq(line) {
		names = append(names, NodeName(n))
	}
	return names
}

// TestStatusLayout: testdata/status_layout.txt was written by Erlang's own
// pretty printer, from random names. Each case is a line of running nodes, one
// of stopped nodes and what Erlang printed.
func TestStatusLayout(t *testing.T) {
	text, err := os.ReadFile("testdata/status_layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(strings.TrimSuffix(string(text), "----\n"), "----\n")
	if len(cases) < 300 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		lines := strings.SplitN(strings.TrimSuffix(c, "\n"), "\n", 3)
		if got := StatusText(nodeNames(lines[0]), nodeNames(lines[1])); got != lines[2] {
			t.Errorf("got\n%s\nwant\n%s", got, lines[2])
		}
	}
}

func TestStatusText(t *testing.T) {
	for _, tc := range []struct{ name, running, stopped, want string }{
		{"one line", "emqx@127.0.0.1", "", "Cluster status: #{running_nodes => ['emqx@127.0.0.1'],stopped_nodes => []}"},
		{"two lines", "emqx1@127.0.0.1 emqx2@127.0.0.1", "", "Cluster status: #{running_nodes => ['emqx1@127.0.0.1','emqx2@127.0.0.1'],\n                  stopped_nodes => []}"},
		{"list apart", "emqx1@192.168.0.193 emqx2@192.168.0.194", "", "Cluster status: #{running_nodes =>\n                      ['emqx1@192.168.0.193','emqx2@192.168.0.194'],\n                  stopped_nodes => []}"},
		{"sorted, quoted where needed", "b@h a-1@h a@h", "", "Cluster status: #{running_nodes => ['a-1@h',a@h,b@h],stopped_nodes => []}"},
		{"nobody", "", "", "Cluster status: #{running_nodes => [],stopped_nodes => []}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := StatusText(nodeNames(tc.running), nodeNames(tc.stopped)); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestStatusJSON(t *testing.T) {
	got := StatusJSON(nodeNames("b@h a@127.0.0.1"), nil)
	want := "{\n  \"stopped_nodes\" : [\n\n  ],\n  \"running_nodes\" : [\n    \"a@127.0.0.1\",\n    \"b@h\"\n  ]\n}"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var read map[string][]string
	if err := json.Unmarshal([]byte(got), &read); err != nil || len(read["running_nodes"]) != 2 {
		t.Errorf("%v, %v", read, err)
	}
}

func TestOutcomes(t *testing.T) {
	view := View{Self: "a@h", Members: []Member{{Name: "a@h", Self: true}, {Name: "b@h", State: StateDead}}}
	status := "\nCluster status: #{running_nodes => [a@h],stopped_nodes => [b@h]}"
	fail := func(r Reason, c Cause, detail string) error {
		return &JoinError{Target: "emqx2@127.0.0.1", Reason: r, Cause: c, Detail: detail}
	}
	join := func(err error) Outcome { return JoinOutcome("emqx2@127.0.0.1", err, view) }
	const down = "Failed to join the cluster: {node_down,'emqx2@127.0.0.1'}\n"
	for _, tc := range []struct {
		name   string
		got    Outcome
		ok     bool
		want   string // the beginning
		words  string // what must follow somewhere
		reason string
	}{
		{"joined", join(nil), true, "Join the cluster successfully." + status, "", ""},
		{"itself", join(ErrSelf), true, "Ignore.", "", ""},
		{"resolve", join(fail(ReasonUnreachable, CauseResolve, "")), false, down, "127.0.0.1 has no address", "unreachable"},
		{"port", join(fail(ReasonUnreachable, CausePort, "connection refused")), false, down, "(connection refused)", "unreachable"},
		{"cookie", join(fail(ReasonUnreachable, CauseCookie, "")), false, down, "node.cookie", "unreachable"},
		{"silent", join(fail(ReasonUnreachable, CauseSilent, "")), false, down, "in time", "unreachable"},
		{"name", join(fail(ReasonNameMismatch, 0, "emqx@127.0.0.1")), false, down, "calls itself emqx@127.0.0.1", "name_mismatch"},
		{"already", join(fail(ReasonAlreadyInCluster, 0, "")), false, "Failed to join the cluster: {already_in_cluster,'emqx2@127.0.0.1'}\n", "", "already_in_cluster"},
		{"versions", join(fail(ReasonVersions, 0, "cluster 1..1 against 2..3")), false, "Failed to join the cluster: {incompatible_versions,", "1..1 against 2..3", "versions"},
		{"not running", join(fail(ReasonNotRunning, 0, "it is starting")), false, down, "it is starting", "not_running"},
		{"leaving", join(fail(ReasonLeaving, 0, "")), false, "Failed to join the cluster: {node_leaving,", "leaving", "leaving"},
		{"clock", join(fail(ReasonClock, 0, "the clocks are 1m0s apart")), false, "Failed to join the cluster: {clock_skew,", "1m0s apart", "clock"},
		{"singleton", join(fail(ReasonSingleton, 0, "a@h")), false, "Failed to join the cluster: singleton\n", "This node", "singleton"},
		{"name taken", join(fail(ReasonNameTaken, 0, "")), false, "Failed to join the cluster: {name_taken,", "named a@h", "name_taken"},
		{"copied", join(fail(ReasonDuplicateID, 0, "")), false, "Failed to join the cluster: {duplicate_identity,", "cluster.json", "duplicate_id"},
		{"busy", join(fail(ReasonBusy, 0, "")), false, "Failed to join the cluster: {busy,", "Try again", "busy"},
		{"another command", join(ErrBusy), false, "Failed to join the cluster: busy\n", "Try again", "busy"},
		{"left", LeaveOutcome(nil, view), true, "Leave the cluster successfully." + status, "", ""},
		{"alone", LeaveOutcome(ErrNotInCluster, view), false, "Failed to leave the cluster: node_not_in_cluster\n", "", "node_not_in_cluster"},
		{"interrupted", LeaveOutcome(ErrInterrupted, view), false, "Failed to leave the cluster: interrupted\n", "", "interrupted"},
		{"removed", ForceLeaveOutcome("b@h", nil, view), true, "Remove the node from cluster successfully." + status, "", ""},
		{"remove itself", ForceLeaveOutcome("a@h", ErrSelf, view), true, "Ignore.", "", ""},
		{"remove a stranger", ForceLeaveOutcome("c@h", ErrNotInCluster, view), false, "Failed to remove the node from cluster: node_not_in_cluster\n", "c@h is no member", "node_not_in_cluster"},
		{"anything else", ForceLeaveOutcome("c@h", errors.New("boom"), view), false, "Failed to remove the node from cluster: boom", "", "failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.got.OK != tc.ok || !strings.HasPrefix(tc.got.Text, tc.want) || !strings.Contains(tc.got.Text, tc.words) || tc.got.Reason != tc.reason {
				t.Errorf("got %+v", tc.got)
			}
			if strings.HasSuffix(tc.got.Text, "\n") || !tc.ok && tc.got.Reason == "" {
				t.Errorf("got %+v", tc.got)
			}
		})
	}
	if got := JoinWarning("b@h", View{Self: "a@h", Members: make([]Member, 3)}); !strings.Contains(got, "other 2 members") {
		t.Error(got)
	}
}
