package webhook

import "strings"

// secretWords mark the names of headers whose values are secret.
var secretWords = []string{"auth", "cookie", "token", "key", "secret", "password", "signature"}

// SecretHeader reports whether the value of a custom header is to be shown to
// nobody, judged by its name in any case (contract section 3).
func SecretHeader(name string) bool {
	lower := strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}
