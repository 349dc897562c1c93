package etf

// Version is the first byte of every term in external format, and of every
// distribution header.
const Version = 131

// Tags of terms, with the names that erl_ext_dist gives them.
const (
	tagNewFloat       = 70  // NEW_FLOAT_EXT
	tagBitBinary      = 77  // BIT_BINARY_EXT
	tagCompressed     = 80  // only behind the version byte
	tagAtomCacheRef   = 82  // ATOM_CACHE_REF
	tagNewPid         = 88  // NEW_PID_EXT
	tagNewPort        = 89  // NEW_PORT_EXT
	tagNewerReference = 90  // NEWER_REFERENCE_EXT
	tagSmallInteger   = 97  // SMALL_INTEGER_EXT
	tagInteger        = 98  // INTEGER_EXT
	tagFloat          = 99  // FLOAT_EXT, text
	tagAtom           = 100 // ATOM_EXT, Latin-1
	tagReference      = 101 // REFERENCE_EXT
	tagPort           = 102 // PORT_EXT
	tagPid            = 103 // PID_EXT
	tagSmallTuple     = 104 // SMALL_TUPLE_EXT
	tagLargeTuple     = 105 // LARGE_TUPLE_EXT
	tagNil            = 106 // NIL_EXT
	tagString         = 107 // STRING_EXT
	tagList           = 108 // LIST_EXT
	tagBinary         = 109 // BINARY_EXT
	tagSmallBig       = 110 // SMALL_BIG_EXT
	tagLargeBig       = 111 // LARGE_BIG_EXT
	tagNewFun         = 112 // NEW_FUN_EXT
	tagExport         = 113 // EXPORT_EXT
	tagNewReference   = 114 // NEW_REFERENCE_EXT
	tagSmallAtom      = 115 // SMALL_ATOM_EXT, Latin-1
	tagMap            = 116 // MAP_EXT
	tagFun            = 117 // FUN_EXT
	tagAtomUTF8       = 118 // ATOM_UTF8_EXT
	tagSmallAtomUTF8  = 119 // SMALL_ATOM_UTF8_EXT
	tagV4Port         = 120 // V4_PORT_EXT
)

const (
	// maxAtomChars is the number of characters an atom may have.
	maxAtomChars = 255
	// maxRefWords is the number of words a reference may have, since OTP 24.
	maxRefWords = 5
	// maxStringLen is the longest list that STRING_EXT can hold.
	maxStringLen = 65535
	// floatTextLen is the width of FLOAT_EXT, padded with zeros.
	floatTextLen = 31
	// depthCap bounds every MaxDepth: a frame of the decoder takes well under
	// 1 kB, so that even this depth stays far from Go's stack limit of 1 GB.
	depthCap = 100_000
)
