package dashboard

import (
	"net/http"

	"github.com/tengineai/webhook-gateway/problem"
)

// routes says which path does what.
func (d *Dashboard) routes() {
	d.open("/login", (*visit).showLogin, (*visit).login)
	d.open("/logout", nil, (*visit).logout)
	d.open("/open", (*visit).openLink, (*visit).useLink)
	d.mux.HandleFunc(d.o.Mount+"/assets/{hash}/{name}", d.serveAsset)

	d.route("/{$}", (*visit).home, nil)
	d.route("/overview", (*visit).overview, nil)
	d.route("/projects", (*visit).projects, nil)

	// A project is a parameter and no part of the path: its id may be "..".
	d.route("/list", (*visit).list, nil)
	d.route("/new", (*visit).newForm, (*visit).create)
	d.route("/check-filter", nil, (*visit).checkFilter)
	d.route("/events", (*visit).events, nil)
	d.route("/event", (*visit).event, nil)

	d.route("/webhook/{id}", (*visit).webhook, nil)
	d.route("/webhook/{id}/edit", (*visit).editForm, (*visit).edit)
	d.route("/webhook/{id}/status", nil, (*visit).setStatus)
	d.route("/webhook/{id}/delete", (*visit).deleteForm, (*visit).delete)
	d.route("/webhook/{id}/secret", (*visit).secretForm, (*visit).rotate)
	d.route("/webhook/{id}/test", (*visit).testForm, (*visit).sendTest)
	d.route("/webhook/{id}/replay", (*visit).replayForm, (*visit).startReplay)
	d.route("/webhook/{id}/log", (*visit).showLog, nil)
	d.route("/webhook/{id}/log/stream", (*visit).streamLog, nil)

	d.route("/deliveries/{id}", (*visit).delivery, nil)
	d.route("/deliveries/{id}/retry", nil, (*visit).retry)
	d.route("/replays/{id}", (*visit).showReplayStatus, nil)
	d.route("/replays/{id}/cancel", nil, (*visit).cancelReplay)

	d.mux.HandleFunc(d.o.Mount+"/", func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, nil, problem.New(problem.NotFound, "There is no such page."))
	})
}
