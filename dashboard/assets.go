package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"

	"github.com/tengineai/webhook-gateway/problem"
)

// htmx.min.js is htmx 2.0.11 as its npm package htmx.org has it, with its
// licence.
//
//go:embed assets
var assetFiles embed.FS

// asset is a file that pages load. Its path holds its hash, so that browsers
// may keep it for good.
type asset struct {
	content []byte
	kind    string
	hash    string
}

func loadAssets() map[string]asset {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // the files are part of the binary
	}
	all := make(map[string]asset, len(entries))
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		kind := "text/plain; charset=utf-8"
		switch path.Ext(e.Name()) {
		case ".js":
			kind = "text/javascript; charset=utf-8"
		case ".css", ".svg":
			kind = mime.TypeByExtension(path.Ext(e.Name()))
		}
		all[e.Name()] = asset{content: content, kind: kind, hash: hex.EncodeToString(sum[:8])}
	}
	return all
}

// assetPath returns the path of an asset.
func (d *Dashboard) assetPath(name string) string {
	return d.o.Mount + "/assets/" + d.assets[name].hash + "/" + name
}

func (d *Dashboard) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := d.assets[r.PathValue("name")]
	if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		d.fail(w, r, nil, problem.New(problem.NotFound, "There is no such file."))
		return
	}
	w.Header().Set("Content-Type", a.kind)
	if r.PathValue("hash") == a.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else { // of another version
		w.Header().Set("Cache-Control", "no-store")
	}
	_, _ = w.Write(a.content)
}
