package dashboard

import (
	"embed"
	"strings"
)

//go:embed snippets
var snippetFiles embed.FS

// snippet shows how a receiver verifies a signature.
type snippet struct {
	Language string
	ID       string
	Code     string
}

// snippets lists them for the languages of most receivers. Every webhook is
// signed in the same headers (contract section 1).
func snippets() []snippet {
	list := []snippet{{"Node.js", "node", ""}, {"Go", "go", ""}, {"Python", "python", ""}}
	for i := range list {
		code, err := snippetFiles.ReadFile("snippets/" + list[i].ID + ".txt")
		if err != nil {
			panic(err) // the files are part of the binary
		}
		list[i].Code = strings.TrimSpace(string(code))
	}
	return list
}
