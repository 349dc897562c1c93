package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ermine/node/dist/etf"
)

// The layout of `cluster status` is that of Erlang's pretty printer (io:format
// with ~p), which operators' scripts know from EMQX: these are its columns.
const (
	statusOpen    = "Cluster status: #{"
	lineMax       = 78 // a line that ends the map, and one that continues a list
	pairMax       = 79 // a line that ends with a pair's comma
	keyIndent     = 18
	listIndent    = 22
	elementIndent = 23
)

// StatusText is the answer to `cluster status`, without the newline at its end.
// Names are sorted.
func StatusText(running, stopped []NodeName) string {
	up, down := atoms(running), atoms(stopped)
	line := statusOpen + "running_nodes => " + list(up) + ",stopped_nodes => " + list(down) + "}"
	if len(line) <= lineMax {
		return line
	}
	return statusPair(statusOpen, "running_nodes", up, ",", pairMax) + "\n" +
		statusPair(strings.Repeat(" ", keyIndent), "stopped_nodes", down, "}", lineMax)
}

// Text is the view as `cluster status` shows it.
func (v View) Text() string { return StatusText(v.Running(), v.Stopped()) }

// atoms are the names as Erlang writes them, sorted.
func atoms(names []NodeName) []string {
	names = slices.Sorted(slices.Values(names))
	written := make([]string, len(names))
	for i, n := range names {
		written[i] = atom(n)
	}
	return written
}

// atom is a name as Erlang writes it: in quotes unless it need not be.
func atom(n NodeName) string { return etf.Format(etf.Atom(n)) }

func list(elements []string) string { return "[" + strings.Join(elements, ",") + "]" }

// statusPair lays out one key of the map and its list. tail follows the list,
// and limit is for the line on which it stands.
func statusPair(open, key string, elements []string, tail string, limit int) string {
	if line := open + key + " => " + list(elements) + tail; len(line) <= limit {
		return line
	}
	var b strings.Builder
	b.WriteString(open + key + " =>\n")
	line := strings.Repeat(" ", listIndent) + "["
	for i, e := range elements {
		end, most := ",", lineMax
		if i == len(elements)-1 {
			end, most = "]"+tail, limit
		}
		if i > 0 && len(line)+len(e)+len(end) > most {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", elementIndent)
		}
		line += e + end
	}
	b.WriteString(line)
	return b.String()
}

// StatusJSON is the answer to `cluster status --json`, in EMQX's layout, without
// the newline at its end.
func StatusJSON(running, stopped []NodeName) string {
	var b strings.Builder
	b.WriteString("{\n")
	for i, part := range []struct {
		key   string
		names []NodeName
	}{{"stopped_nodes", stopped}, {"running_nodes", running}} {
		fmt.Fprintf(&b, "  %q : [\n", part.key)
		names := slices.Sorted(slices.Values(part.names))
		for j, n := range names {
			text, _ := json.Marshal(string(n)) // a string always has a form
			b.WriteString("    " + string(text))
			if j < len(names)-1 {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		if len(names) == 0 {
			b.WriteString("\n")
		}
		b.WriteString("  ]")
		if i == 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("}")
	return b.String()
}

// JSON is the view as `cluster status --json` shows it.
func (v View) JSON() string { return StatusJSON(v.Running(), v.Stopped()) }

// Outcome is what a cluster command tells the operator.
type Outcome struct {
	// OK decides the exit status: 0 or 1.
	OK bool `json:"ok"`
	// Text is what is printed, without the newline at its end. Its first line is
	// EMQX's; on failure more follow, which say why and what to do.
	Text string `json:"text"`
	// Reason, Cause and Detail are for programs; empty on success.
	Reason string `json:"reason,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// JoinOutcome is the answer to `cluster join`, from the Reply's error and the
// view afterwards.
func JoinOutcome(target NodeName, err error, after View) Outcome {
	var failed *JoinError
	switch {
	case err == nil:
		return Outcome{OK: true, Text: "Join the cluster successfully.\n" + after.Text()}
	case errors.Is(err, ErrSelf):
		return Outcome{OK: true, Text: "Ignore."}
	case errors.As(err, &failed):
		term, why := explain(failed, after.Self)
		o := Outcome{
			Text:   "Failed to join the cluster: " + term + "\n" + why,
			Reason: failed.Reason.String(), Detail: failed.Detail,
		}
		if failed.Reason == ReasonUnreachable {
			o.Cause = failed.Cause.String()
		}
		return o
	default:
		return otherFailure("Failed to join the cluster: ", err)
	}
}

// LeaveOutcome is the answer to `cluster leave`.
func LeaveOutcome(err error, after View) Outcome {
	switch {
	case err == nil:
		return Outcome{OK: true, Text: "Leave the cluster successfully.\n" + after.Text()}
	case errors.Is(err, ErrNotInCluster):
		return Outcome{
			Text:   "Failed to leave the cluster: node_not_in_cluster\n" + string(after.Self) + " has no other members.",
			Reason: "node_not_in_cluster",
		}
	default:
		return otherFailure("Failed to leave the cluster: ", err)
	}
}

// ForceLeaveOutcome is the answer to `cluster force-leave`.
func ForceLeaveOutcome(target NodeName, err error, after View) Outcome {
	switch {
	case err == nil:
		return Outcome{OK: true, Text: "Remove the node from cluster successfully.\n" + after.Text()}
	case errors.Is(err, ErrSelf):
		return Outcome{OK: true, Text: "Ignore."}
	case errors.Is(err, ErrNotInCluster):
		return Outcome{
			Text: "Failed to remove the node from cluster: node_not_in_cluster\n" +
				string(target) + " is no member. Members are listed by `cluster status`.",
			Reason: "node_not_in_cluster",
		}
	default:
		return otherFailure("Failed to remove the node from cluster: ", err)
	}
}

func otherFailure(prefix string, err error) Outcome {
	o := Outcome{Text: prefix + err.Error(), Reason: "failed", Detail: err.Error()}
	switch {
	case errors.Is(err, ErrBusy):
		o.Text = prefix + "busy\nAnother membership command of this node is under way, or it is still starting. Try again when that is done."
		o.Reason, o.Detail = ReasonBusy.String(), ""
	case errors.Is(err, ErrInterrupted):
		o.Text = prefix + "interrupted\nThe node was stopped, or removed from its cluster by another member, before the command was done. See `cluster status`."
		o.Reason, o.Detail = "interrupted", ""
	}
	return o
}

// explain is a join's failure as an Erlang term, and in words: why, and what to
// do.
func explain(e *JoinError, self NodeName) (term, why string) {
	target := string(e.Target)
	_, host, _ := strings.Cut(target, "@")
	name := atom(e.Target)
	pair := func(tag string) string { return "{" + tag + "," + name + "}" }
	detail := ""
	if e.Detail != "" {
		detail = " (" + e.Detail + ")"
	}
	switch e.Reason {
	case ReasonAlreadyInCluster:
		return pair("already_in_cluster"), target + " is a member of this node's cluster already."
	case ReasonNameMismatch:
		other := "otherwise"
		if e.Detail != "" {
			other = e.Detail
		}
		return pair("node_down"), "The node that answers for " + target + " calls itself " + other + ".\n" +
			"Join it by the name in its node.name."
	case ReasonVersions:
		return pair("incompatible_versions"), target + " and this node have no version of a protocol in common" + detail + ".\n" +
			"Upgrade the older of both: releases next to each other can be in one cluster."
	case ReasonNotRunning:
		return pair("node_down"), target + " answers, but its broker does not run" + detail + ".\n" +
			"Wait until `status` says there that it is started, and try again."
	case ReasonLeaving:
		return pair("node_leaving"), target + " is just leaving its cluster.\n" +
			"Try again, or join another member of the cluster that is meant."
	case ReasonClock:
		return pair("clock_skew"), "The clock of " + target + " is too far from this node's" + detail + ".\n" +
			"Synchronise both, by NTP for example, and try again."
	case ReasonSingleton:
		which := target
		if e.Detail == string(self) {
			which = "This node"
		}
		return "singleton", which + " is set to stay alone (cluster.discovery_strategy = singleton).\n" +
			"Choose another strategy there, and restart it."
	case ReasonNameTaken:
		return pair("name_taken"), "The cluster of " + target + " has another running member named " + string(self) + ".\n" +
			"Give this node another node.name. If that member is gone for good, wait until it counts as stopped, or remove it there: `cluster force-leave " + string(self) + "`."
	case ReasonDuplicateID:
		return pair("duplicate_identity"), target + " has the same identity as this node: one's data_dir is a copy of the other's.\n" +
			"Delete " + StateFile + " in the data_dir of the copy, and restart that node."
	case ReasonBusy:
		return pair("busy"), target + ", or this node, was joining or being joined all the time.\n" +
			"Try again when that is done; `cluster status` shows it."
	case ReasonUnreachable:
	}
	switch e.Cause {
	case CauseResolve:
		return pair("node_down"), "The host " + host + " has no address" + detail + ".\n" +
			"Check the name, DNS and /etc/hosts on this machine, or use an IP address in node.name."
	case CausePort:
		return pair("node_down"), "Nobody listens at " + host + " for " + target + detail + ".\n" +
			"Check that the node runs, and that no firewall closes its port: 4370 plus the digits at the end of its short name, or with EPMD 4369 and its node.dist_listen_min..max."
	case CauseCookie:
		return pair("node_down"), "The cookies of " + target + " and this node differ" + detail + ".\n" +
			"Set the same node.cookie on both, and restart the one that you changed."
	case CauseName:
		return pair("node_down"), "The node that answers for " + target + " calls itself otherwise" + detail + ".\n" +
			"Join it by the name in its node.name."
	case CauseSilent:
		return pair("node_down"), target + " did not answer in time" + detail + ".\n" +
			"Check that the node is not stopped or overloaded, and that no firewall drops packets to its port."
	default:
		return pair("node_down"), target + " cannot be reached" + detail + ".\n" +
			"Check that the node runs, the name, the port and the cookie."
	}
}

// JoinWarning says what a join will cost this node, to be confirmed before it;
// empty if there is nothing to lose.
func JoinWarning(target NodeName, before View) string {
	text := fmt.Sprintf("%s will take over the cluster's retained messages and settings from %s; its own are lost.", before.Self, target)
	if others := len(before.Members) - 1; others > 0 {
		noun := "member"
		if others > 1 {
			noun += "s"
		}
		text += fmt.Sprintf("\nIt leaves its present cluster, which goes on with the other %d %s.", others, noun)
	}
	return text
}
