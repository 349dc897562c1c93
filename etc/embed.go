package etc

import "embed"

// The names of the shipped files, as they are found in [Files] and as they are
// written into an etc directory.
const (
	NodeConf    = "node.conf"
	ACLConf     = "acl.conf"
	SSLDistConf = "ssl_dist.conf"
)

// Files holds the shipped files at its root.
//
//go:embed node.conf acl.conf ssl_dist.conf
var Files embed.FS

// Read gives a shipped file's content. It panics for a name that is none of the
// constants: all of them are embedded.
func Read(name string) []byte {
	b, err := Files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return b
}
