package dashboard

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// cookieName names the session's cookie. hostPrefix goes before it where browsers
// let it: they then take the cookie from this host alone, so that no other site below
// the same domain can plant a session. It would keep the cookie from working over
// plain http to loopback and below a path.
const (
	cookieName = "webhook_session"
	hostPrefix = "__Host-"
)

// errSignIn says that there is no session.
var errSignIn = errors.New("not signed in")

// identify finds out who asks.
func (d *Dashboard) identify(w http.ResponseWriter, r *http.Request) (*visit, error) {
	gw, err := d.o.Gateway(r.Context())
	if err != nil {
		return nil, err
	}
	v := &visit{d: d, w: w, r: r, gw: gw}
	return v, v.identify()
}

// identify finds out who asks, also again while a stream is open.
func (v *visit) identify() error {
	if v.d.o.Identity != nil {
		by, err := v.d.o.Identity(v.r)
		if err != nil {
			return err
		}
		v.by = by
		return gateway.RequireScope(by, gateway.ScopeRead)
	}
	s, err := v.gw.Session(v.ctx(), v.sessionToken())
	if problem.From(err).Code == problem.Unauthorized && err != nil {
		return errSignIn
	}
	if err != nil {
		return err
	}
	v.by, v.session, v.link = s.By, true, s.FromLink
	return nil
}

func (v *visit) sessionToken() string {
	c, err := v.r.Cookie(v.cookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

// unknown answers a request of nobody: browsers are sent to sign in.
func (d *Dashboard) unknown(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, errSignIn) {
		d.fail(w, r, nil, err)
		return
	}
	problem.LeaveBody(w, r)
	target := d.o.Mount + "/login"
	if r.Method == http.MethodGet && r.URL.Path != d.o.Mount+"/" && !isFragment(r) {
		target += "?next=" + url.QueryEscape(strings.TrimPrefix(r.URL.RequestURI(), d.o.Mount))
	}
	switch {
	case isFragment(r):
		w.Header().Set("HX-Redirect", target)
		w.WriteHeader(http.StatusUnauthorized)
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		d.fail(w, r, nil, problem.New(problem.Unauthorized, "Sign in again."))
	default:
		http.Redirect(w, r, target, http.StatusSeeOther)
	}
}

// isFragment says whether a script asks for a part of a page.
func isFragment(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// setCookie gives the browser a session. embed is for sessions inside a frame
// of another site.
func (v *visit) setCookie(token string, embed bool, maxAge int) {
	c := &http.Cookie{
		Name: v.cookieName(), Value: token,
		Path:     v.cookiePath(),
		MaxAge:   maxAge,
		HttpOnly: true,
		Secure:   v.secure(),
		SameSite: http.SameSiteLaxMode,
	}
	if embed { // browsers take this only with Secure, and count loopback as such
		c.SameSite, c.Partitioned, c.Secure = http.SameSiteNoneMode, true, true
	}
	http.SetCookie(v.w, c)
}

func (v *visit) cookieName() string {
	if v.cookiePath() == "/" && v.secure() {
		return hostPrefix + cookieName
	}
	return cookieName
}

// secure says whether the browser is to keep the session to https.
func (v *visit) secure() bool { return v.d.o.Secure(v.r) || !isLoopback(v.r.Host) }

func (v *visit) cookiePath() string {
	if v.d.o.Mount == "" {
		return "/"
	}
	return v.d.o.Mount
}

// isLoopback says whether a Host header names this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// loginPage is what the sign-in page shows.
type loginPage struct {
	Next     string
	Problem  string
	Insecure bool // plain http: the browser would not keep the cookie
}

func (v *visit) showLogin() error {
	if v.d.o.Identity != nil {
		return v.redirect("/")
	}
	if _, err := v.gw.Session(v.ctx(), v.sessionToken()); err == nil {
		return v.redirect(safeNext(v.form("next")))
	}
	return v.render(http.StatusOK, "login", "Sign in", v.newLoginPage(""))
}

func (v *visit) newLoginPage(problem string) loginPage {
	return loginPage{
		Next: v.form("next"), Problem: problem,
		Insecure: !v.d.o.Secure(v.r) && !isLoopback(v.r.Host),
	}
}

func (v *visit) login() error {
	if v.d.o.Identity != nil {
		return problem.New(problem.NotFound, "There is no sign-in here: who you are is decided in front of the dashboard.")
	}
	apiKey := strings.TrimSpace(v.r.PostForm.Get("key"))
	token, err := v.gw.SignIn(v.ctx(), v.d.o.ClientAddr(v.r), apiKey)
	if err != nil {
		return v.refuseLogin(err)
	}
	v.gw.SignOut(v.sessionToken()) // of the session before this one
	v.setCookie(token, false, int(gateway.SessionLife.Seconds()))
	return v.redirect(safeNext(v.r.PostForm.Get("next")))
}

// refuseLogin shows the sign-in page again.
func (v *visit) refuseLogin(err error) error {
	e := problem.From(err)
	var text string
	switch e.Code {
	case problem.Unauthorized:
		text = "This API key is not known. Check that it is complete and has not been revoked."
	case problem.ScopeMissing:
		text = `This API key may not read: it is for publishing events only. Use a key with the scope "read", and "manage" to make changes.`
	case problem.TooManyRequests:
		text = "Too many failed attempts from your address. Wait a while and try again."
	default:
		return err
	}
	if !wantsHTML(v.r) {
		shown := *e
		shown.Detail = text
		return &shown
	}
	if e.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", retryAfter(e.RetryAfter))
	}
	return v.render(e.Status(), "login", "Sign in", v.newLoginPage(text))
}

func (v *visit) logout() error {
	v.gw.SignOut(v.sessionToken())
	v.setCookie("", v.link && len(v.d.o.FrameAncestors) > 0, -1)
	return v.redirect("/login")
}

// safeNext returns where to go after signing in: a path of the mount.
func safeNext(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/..") {
		return "/"
	}
	return next
}

// openLink uses a link up, unless whatever follows it only wants to look: the
// previews of chats and mail programs, and browsers that fetch ahead. Those get
// a page with a button, and so does who is signed in with an API key: a link that
// somebody else made must not put another session in the place of that one.
func (v *visit) openLink() error {
	if v.form("link") == "" {
		return problem.New(problem.NotFound, "This address is not complete.")
	}
	if v.r.Method == http.MethodHead || onlyLooks(v.r.Header) || v.signedInByKey() {
		return v.render(http.StatusOK, "open", "Open the dashboard", v.form("link"))
	}
	return v.useLink()
}

func (v *visit) signedInByKey() bool {
	s, err := v.gw.Session(v.ctx(), v.sessionToken())
	return err == nil && !s.FromLink
}

func (v *visit) useLink() error {
	token, project, err := v.gw.OpenLink(v.ctx(), v.form("link"))
	if err != nil {
		return err
	}
	v.gw.SignOut(v.sessionToken())
	v.setCookie(token, len(v.d.o.FrameAncestors) > 0, int(gateway.LinkLife.Seconds()))
	return v.redirect("/list?project=" + url.QueryEscape(project))
}

// onlyLooks says whether a request for a link comes from something that a
// person did not click.
func onlyLooks(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if h.Get(name) != "" {
			return true
		}
	}
	if mode := h.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return true
	}
	agent := strings.ToLower(h.Get("User-Agent"))
	for _, word := range []string{"bot", "crawl", "spider", "preview", "facebookexternalhit", "whatsapp", "slack", "skype", "embedly", "unfurl", "scan"} {
		if strings.Contains(agent, word) {
			return true
		}
	}
	return false
}
