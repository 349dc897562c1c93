// Package logs is where a node's log lines go: to the terminal, to files that
// rotate, or to both, each with its own level, and all of them changeable while
// the node runs.
//
// A [Log] has handlers with an id ("console", "file"). A line is written by
// every handler that has been started and whose level it reaches, if it reaches
// the primary level first. The words for levels are syslog's, as in EMQX: debug,
// info, notice, warning, error, critical, alert, emergency.
//
// Writing blocks the caller until the terminal or the file has taken the line;
// there is no queue that could fill. A line that cannot be written is lost, and
// the caller is not told: a full disk does not stop the broker.
package logs
