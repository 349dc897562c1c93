package topic

import (
	"hash/maphash"
	"math/bits"
	"strings"
)

// RootShard has all filters whose first level is a wildcard: see ShardOf.
const RootShard = 0

// shardSeed is drawn anew in every process, so that no client can aim its
// topics at one shard. It is not the seed of any Index: a shard's filters have
// similar shard hashes, and would crowd its table.
var shardSeed = maphash.MakeSeed()

// ShardOf returns which of n shards, 0 to n-1, owns a filter: one without
// wildcards goes by the hash of its text, one with wildcards by the hash of
// its first level, and one whose first level is a wildcard to RootShard. The
// answer holds for the life of this process only.
func ShardOf(f Filter, n int) int {
	if !f.HasWildcard() {
		return HashShard(string(f), n)
	}
	if leadsWithWildcard(f) {
		return RootShard
	}
	level, _, _ := cut(string(f))
	return HashShard(level, n)
}

// ShardsFor returns the shards that together own every filter that can match
// a name: exact is to be asked with Index.MatchExact, firstLevel and root
// with Index.MatchWildcard, but only once where the two are equal. No filter
// is found in more than one of the three look-ups.
func ShardsFor(name Name, n int) (exact, firstLevel, root int) {
	s := string(name)
	exact = HashShard(s, n)
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return exact, HashShard(s[:i], n), RootShard
	}
	return exact, exact, RootShard
}

// HashShard spreads keys evenly over n shards, 0 to n-1. The answer holds for
// the life of this process only.
func HashShard(key string, n int) int {
	if n <= 1 {
		return 0
	}
	shard, _ := bits.Mul64(maphash.String(shardSeed, key), uint64(n))
	return int(shard)
}
