// Package auth decides who may connect and what a client may publish and
// subscribe to. It holds the two interfaces behind which every back end sits, the
// chains that ask them, and the two back ends that need no server: a user file and
// an ACL file in the form of EMQX's acl.conf.
//
//	Authenticator   asked for every CONNECT              Authentication is a chain of them
//	Authorizer      asked for every PUBLISH, SUBSCRIBE   Authorization is a chain of them
//	UserFile        an Authenticator: name:hash lines, bcrypt or argon2id
//	ACLFile         an Authorizer: rules of Erlang terms
//
// There are no actors here. UserFile and ACLFile poll their file in Watch, which
// the caller runs in a goroutine; everything else runs on the caller's.
//
// # Deciding
//
// Both chains ask their sources in order until one does not answer Ignore. What
// happens when all ignore is configuration: no_match for authorization, and a
// refusal for authentication, except for anonymous clients where those are allowed.
// A chain without authenticators lets everybody in, as EMQX does.
//
// # Cost
//
// Authenticating hashes a password: tens of milliseconds of a processor. A
// semaphore bounds how many hashes run at a time, the rest wait in order of
// arrival, each until its context ends. An unknown user costs the same hash.
//
// Authorizing is on the path of every message. A source that implements Static
// tells in advance which outcomes are possible for a client; where only one is, a
// check is a few loads. Everything else goes through a per-client cache.
//
// # Invariants
//
//   - A1: a file that cannot be read or has mistakes never replaces rules or users
//     that were in force; it is reported, and the old ones stay.
//   - A2: a decision never outlives the rules it was made by, nor the cache's TTL.
//   - A3: a placeholder never lets a client widen a rule: ${clientid} with a
//     wildcard in it matches no topic that the rule's author did not mean.
package auth
