package config

import (
	"bytes"
	"fmt"
	"strings"
)

// group is a part of the documented file.
type group struct {
	prefix string // of the keys' paths; the first group that fits has a key
	title  string
	text   string
}

var groups = []group{
	{"node.", "Node", "Who this node is, and the link to other nodes (the Erlang distribution)."},
	{"cluster.static.", "Cluster: static list", ""},
	{"cluster.mcast.", "Cluster: multicast", ""},
	{"cluster.dns.", "Cluster: DNS", ""},
	{"cluster.etcd.", "Cluster: etcd", ""},
	{"cluster.k8s.", "Cluster: Kubernetes", ""},
	{"cluster.", "Cluster", "How nodes become and stay one cluster."},
	{"rpc.", "Data channel", "What messages between nodes run over."},
	{"listeners.tcp.", "Listeners: MQTT over TCP", "listeners.<type>.<name>, of which those named default are there by themselves; set enable = false to close one. More of a type are made by giving them a bind: listeners.tcp.internal.bind = \"127.0.0.1:11883\". The keys of this part, with their defaults, are those of the other three types too."},
	{"listeners.ssl.", "Listeners: MQTT over TLS", "listeners.ssl.<name> has the keys of listeners.tcp.<name> and these. Certificates are read again when their files change."},
	{"listeners.ws.", "Listeners: MQTT over WebSocket", "listeners.ws.<name> has the keys of listeners.tcp.<name> and these."},
	{"listeners.wss.", "Listeners: MQTT over WebSocket and TLS", "listeners.wss.<name> has the keys of all three."},
	{"mqtt.", "MQTT", "What holds for every connection and its session. Each of these keys can be set for the clients of some listeners alone: zones.<name>.mqtt.<key>, where listeners.<type>.<listener>.zone is that name. A listener's zone is default unless it says otherwise."},
	{"zones.", "Zones", "Besides zones.<name>.mqtt there are:"},
	{"broker.", "Broker", ""},
	{"retainer.", "Retained messages", ""},
	{"delayed.", "Delayed messages", ""},
	{"sys_topics.", "$SYS topics", ""},
	{"authorization.", "Authorization", "What clients may publish and subscribe."},
	{"a", "Authentication", "Who may connect."},
	{"log.", "Log", ""},
}

// active are the keys that stand in the documented file without a # before them.
var active = map[string]bool{
	"node.name": true, "node.cookie": true, "node.data_dir": true,
	"listeners.tcp.default.bind": true, "listeners.ssl.default.bind": true,
	"listeners.ws.default.bind": true, "listeners.wss.default.bind": true,
}

const sampleHead = `## Configuration of an Ermine node.
##
## Every key that works is below, with its default; those that are commented out
## have it anyway. The form is HOCON: keys may be written as dotted paths, as here,
## or nested in braces, and strings need quotes only if they hold one of
##   $ " { } [ ] : = , + # ^ ? ! * & \ or a blank.
## Lines as in EMQX 4's files and the names of EMQX 4 and 5 are accepted too.
##
## Each key can be set by a variable of the environment, which wins over this
## file: ERMINE_NODE__NAME is node.name. Include other files with: include "file"
##
## Durations have the units ms, s, m, h, d, w, as in 1h30m; a plain number counts
## milliseconds. Sizes have the units B, KB, MB, GB, in powers of 1024.
## Paths may hold ${ERMINE_ETC_DIR}, ${ERMINE_LOG_DIR} and ${ERMINE_DATA_DIR}; a
## relative one begins at the directory in which the node runs.
##
## node check_config tells whether this file is right.
`

// Sample gives the documented configuration file that is shipped as
// etc/node.conf: it is made from the schema, and a test holds the file to it.
func Sample() []byte {
	var b bytes.Buffer
	b.WriteString(sampleHead)
	last := ""
	for _, k := range schema {
		if k.Effect != Works || strings.Contains(k.Path, ".$n.") || !documented(k.Path) {
			continue
		}
		for _, g := range groups {
			if !strings.HasPrefix(k.Path, g.prefix) {
				continue
			}
			if g.title != last {
				fmt.Fprintf(&b, "\n%s\n## %s\n", strings.Repeat("#", 80), g.title)
				if g.text != "" {
					b.WriteString("##\n")
					wrap(&b, g.text)
				}
				last = g.title
			}
			break
		}
		sampleKey(&b, k)
	}
	return b.Bytes()
}

// documented leaves out what is documented for all: the keys that the types of
// listeners have in common, beyond the bind, and the zones' mqtt keys.
func documented(path string) bool {
	segs := strings.Split(path, ".")
	if segs[0] == "zones" {
		return segs[2] != "mqtt"
	}
	if segs[0] != "listeners" || segs[1] == "tcp" || segs[3] == "bind" {
		return true
	}
	return segs[1] == "ssl" && segs[3] == "ssl_options" || segs[1] == "ws" && segs[3] == "websocket"
}

func sampleKey(b *bytes.Buffer, k Key) {
	b.WriteByte('\n')
	wrap(b, k.Doc)
	if text := k.AllowedText(); text != "" && k.Type != TypeBool && k.Type != TypeObjects {
		wrap(b, "Allowed: "+text+".")
	}
	for _, e := range elementKeys[k.Path] {
		wrap(b, "  "+e.Path+": "+e.Doc+" "+elementText(e))
	}
	path := strings.Replace(k.Path, "$name", "default", 1)
	def := k.Default
	if k.Required {
		def = defaultBinds[strings.Split(path, ".")[1]]
	}
	if strings.Contains(k.Path, "$") && !strings.HasPrefix(k.Path, "listeners.") {
		// No default, and to set it would name something: only shown.
		example := `""`
		if len(k.Allowed) > 0 {
			example = k.Allowed[0]
		}
		fmt.Fprintf(b, "##   %s = %s\n", strings.Replace(k.Path, "$name", "<name>", 1), example)
		return
	}
	mark := "# "
	if active[path] {
		mark = ""
	}
	fmt.Fprintf(b, "%s%s = %s\n", mark, path, sampleValue(k, def))
}

func elementText(k Key) string {
	text := "Default " + sampleValue(k, k.Default)
	if len(k.Allowed) > 0 {
		text += ", allowed " + strings.Join(k.Allowed, ", ")
	}
	return text + "."
}

// sampleValue writes a default with quotes where the file's readers expect them.
func sampleValue(k Key, def string) string {
	switch k.Type {
	case TypeString, TypePath, TypeNodeName, TypeBind, TypeAddr:
		return `"` + def + `"`
	case TypeEnum:
		if def == "" {
			return `""`
		}
	default:
	}
	return def
}

// wrap writes text as comment lines of at most 80 columns.
func wrap(b *bytes.Buffer, text string) {
	line := "##"
	if rest, ok := strings.CutPrefix(text, "  "); ok {
		line, text = "##  ", rest
	}
	indent := line
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 80 {
			b.WriteString(line + "\n")
			line = indent
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
