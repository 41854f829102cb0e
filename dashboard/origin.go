package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// foreign says whether a page of another site asks for a change (contract section
// 3b): by what the browser says of the page, or by the page's origin. That is
// compared by host: the scheme is another one behind a proxy that ends TLS.
func (d *Dashboard) foreign(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" && site != "none" {
		return true
	}
	switch origin := r.Header.Get("Origin"); origin {
	case "":
		return false
	case "null": // of our own pages, too, which have no referrer
		return site == ""
	default:
		u, err := url.Parse(origin)
		return err != nil || !sameHost(u, r.Host) && (d.o.PublicHost == "" || !sameHost(u, d.o.PublicHost))
	}
}

// sameHost says whether an origin is of a host, either with or without the port
// that its scheme implies.
func sameHost(origin *url.URL, host string) bool {
	port := map[string]string{"http": ":80", "https": ":443"}[origin.Scheme]
	return strings.EqualFold(strings.TrimSuffix(origin.Host, port), strings.TrimSuffix(host, port))
}
