package webhook

import "strings"

// Masked stands for the value of a SecretHeader where it is shown or recorded.
const Masked = "********"

// secretWords mark the names of headers whose values are secret.
var secretWords = []string{"auth", "cookie", "token", "key", "secret", "password", "signature"}

// SecretHeader reports whether the value of a header is to be shown to nobody,
// judged by its name in any case (contract section 3).
func SecretHeader(name string) bool {
	lower := strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}
