// Package signer signs deliveries and verifies signatures (docs/contract.md
// section 1). It knows two schemes:
//
//   - x-tengine-signature: "sha256=" and the lower-case hex HMAC-SHA256 of the
//     body. It has no timestamp; a recorded request stays valid.
//   - Standard Webhooks 1.0: webhook-id, webhook-timestamp and
//     webhook-signature. The timestamp is signed, so a receiver can refuse
//     recorded requests.
//
// What belongs here: keys, signatures, the rotation of secrets, the rules for a
// secret, and verification for receivers written in Go. What does not: storing
// secrets, and sending. The package does no I/O.
package signer
