package handshake

import "fmt"

// Flags are the capabilities that nodes tell each other (DFLAG_... of OTP).
type Flags uint64

// The capability flags, by OTP's names.
const (
	FlagPublished          Flags = 0x1       // visible, part of the global namespace
	FlagAtomCache          Flags = 0x2       // obsolete
	FlagExtendedReferences Flags = 0x4       // references of several words
	FlagDistMonitor        Flags = 0x8       // MONITOR_P and its kin
	FlagFunTags            Flags = 0x10      // separate tags for funs
	FlagDistMonitorName    Flags = 0x20      // monitors by registered name
	FlagHiddenAtomCache    Flags = 0x40      // obsolete
	FlagNewFunTags         Flags = 0x80      // NEW_FUN_EXT
	FlagExtendedPidsPorts  Flags = 0x100     // long pids and ports
	FlagExportPtrTag       Flags = 0x200     // EXPORT_EXT
	FlagBitBinaries        Flags = 0x400     // BIT_BINARY_EXT
	FlagNewFloats          Flags = 0x800     // NEW_FLOAT_EXT
	FlagUnicodeIO          Flags = 0x1000    // unicode in the I/O protocol
	FlagDistHdrAtomCache   Flags = 0x2000    // distribution header with atom cache
	FlagSmallAtomTags      Flags = 0x4000    // SMALL_ATOM_EXT
	FlagUTF8Atoms          Flags = 0x10000   // atoms as UTF-8
	FlagMapTag             Flags = 0x20000   // MAP_EXT
	FlagBigCreation        Flags = 0x40000   // 32-bit creations
	FlagSendSender         Flags = 0x80000   // SEND_SENDER in place of SEND
	FlagBigSeqtraceLabels  Flags = 0x100000  // any term as trace label
	FlagExitPayload        Flags = 0x400000  // PAYLOAD_EXIT and its kin
	FlagFragments          Flags = 0x800000  // fragmented messages
	FlagHandshake23        Flags = 0x1000000 // handshake version 6
	FlagUnlinkID           Flags = 0x2000000 // new link protocol
	FlagSpawn              Flags = 1 << 32   // SPAWN_REQUEST
	FlagNameMe             Flags = 1 << 33   // asks the acceptor for a name
	FlagV4NC               Flags = 1 << 34   // full-width pids, ports, references
	FlagAlias              Flags = 1 << 35   // ALIAS_SEND
	FlagMandatory25Digest  Flags = 1 << 36   // stands for all of mandatory25
)

const (
	// mandatory25 are the flags that OTP 25 demands, and that
	// FlagMandatory25Digest stands for.
	mandatory25 = FlagExtendedReferences | FlagFunTags | FlagExtendedPidsPorts |
		FlagUTF8Atoms | FlagNewFunTags | FlagBigCreation | FlagNewFloats |
		FlagMapTag | FlagExportPtrTag | FlagBitBinaries | FlagHandshake23

	// Required is what this node demands of a peer. It is less than OTP 26
	// demands, so that nodes since OTP 19 can connect: those without the newer
	// flags are spoken to in the older forms.
	Required = FlagExtendedReferences | FlagExtendedPidsPorts | FlagUTF8Atoms |
		FlagNewFunTags | FlagBigCreation | FlagNewFloats | FlagMapTag |
		FlagExportPtrTag | FlagBitBinaries

	// Supported is all that this node can do; it includes every flag that is
	// mandatory in OTP 25, 26 and 27.
	Supported = mandatory25 | FlagMandatory25Digest | FlagPublished |
		FlagDistMonitor | FlagDistMonitorName | FlagUnicodeIO |
		FlagDistHdrAtomCache | FlagSmallAtomTags | FlagSendSender |
		FlagBigSeqtraceLabels | FlagExitPayload | FlagFragments |
		FlagUnlinkID | FlagSpawn | FlagV4NC | FlagAlias
)

// OwnFlags are the flags of a node of this project: all that is supported, and
// the mark of a visible node unless hidden.
func OwnFlags(hidden bool) Flags {
	if hidden {
		return Supported &^ FlagPublished
	}
	return Supported
}

// Has reports whether all of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// expand adds what FlagMandatory25Digest stands for.
func (f Flags) expand() Flags {
	if f.Has(FlagMandatory25Digest) {
		f |= mandatory25
	}
	return f
}

var flagNames = map[Flags]string{
	FlagPublished: "PUBLISHED", FlagAtomCache: "ATOM_CACHE",
	FlagExtendedReferences: "EXTENDED_REFERENCES", FlagDistMonitor: "DIST_MONITOR",
	FlagFunTags: "FUN_TAGS", FlagDistMonitorName: "DIST_MONITOR_NAME",
	FlagHiddenAtomCache: "HIDDEN_ATOM_CACHE", FlagNewFunTags: "NEW_FUN_TAGS",
	FlagExtendedPidsPorts: "EXTENDED_PIDS_PORTS", FlagExportPtrTag: "EXPORT_PTR_TAG",
	FlagBitBinaries: "BIT_BINARIES", FlagNewFloats: "NEW_FLOATS",
	FlagUnicodeIO: "UNICODE_IO", FlagDistHdrAtomCache: "DIST_HDR_ATOM_CACHE",
	FlagSmallAtomTags: "SMALL_ATOM_TAGS", FlagUTF8Atoms: "UTF8_ATOMS",
	FlagMapTag: "MAP_TAG", FlagBigCreation: "BIG_CREATION",
	FlagSendSender: "SEND_SENDER", FlagBigSeqtraceLabels: "BIG_SEQTRACE_LABELS",
	FlagExitPayload: "EXIT_PAYLOAD", FlagFragments: "FRAGMENTS",
	FlagHandshake23: "HANDSHAKE_23", FlagUnlinkID: "UNLINK_ID",
	FlagSpawn: "SPAWN", FlagNameMe: "NAME_ME", FlagV4NC: "V4_NC",
	FlagAlias: "ALIAS", FlagMandatory25Digest: "MANDATORY_25_DIGEST",
}

// Names lists the set flags by OTP's names, in the order of their bits.
func (f Flags) Names() []string {
	var names []string
	for bit := Flags(1); bit != 0; bit <<= 1 {
		if f&bit == 0 {
			continue
		}
		name, known := flagNames[bit]
		if !known {
			name = fmt.Sprintf("%#x", uint64(bit))
		}
		names = append(names, name)
	}
	return names
}
