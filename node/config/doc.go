// Package config is the configuration of a node: which keys there are, how they
// are written, where their values come from, and the typed result.
//
// [Load] merges three layers with viper: the environment over the file over the
// defaults. The file is HOCON or EMQX 4's lines (package hocon); both go
// through viper's codec registry. Names of EMQX 4 and 5 are accepted alike; a
// value under an old name is moved to its present one before the layers merge.
//
// # The schema
//
// [Keys] is one table of data: each key's path, type, default, limits, doc line,
// old names and effect. Everything else follows from it: what is accepted, what
// is said about a mistake, the documented etc/node.conf ([Sample]), `conf show`
// ([Dump]). A path may hold $name, which stands for a name that the user
// chooses: listeners.tcp.$name.bind. A key whose effect is [NoEffect] tunes the
// Erlang VM and is accepted for old files' sake; one that is [Reserved] belongs
// to something that this release does not have. Both are reported, never
// silently dropped.
//
// # Units
//
// Durations are time.Duration, sizes are bytes in an int64, shares (80%) are
// fractions of one. The words infinity and disabled are read as zero wherever
// they are allowed; no key gives zero another meaning there.
//
// # Environment
//
// ERMINE_NODE__NAME sets node.name: two underscores stand for a dot, case does
// not matter. EMQX_NODE__NAME does the same and yields to the former. The value
// is read as a HOCON value if it begins like one, else as it stands. A variable
// whose first part is no root of the schema is not ours and ignored; one that
// is ours and names no key is listed in one warning.
//
// # Mistakes
//
// Load never stops at the first mistake. Its error is an [*Invalid] with all of
// them, each with its place, its key and what is allowed there; the nearest known
// name is given for an unknown one.
//
// The package has no goroutines; a [Config] is plain data, owned by the caller.
package config
