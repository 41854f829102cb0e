package dashboard

import (
	"fmt"
	"strings"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
)

// bar is the last day of a webhook as a row of columns.
type bar struct {
	Columns []column
	Width   int
	Height  int
	Words   string
}

// column is one column: failures on top of successes. Coordinates are of the
// SVG, with y pointing down.
type column struct {
	X, Width      int
	OKY, OKHeight int
	BadY, BadH    int
	Words         string
}

const (
	barHeight = 24
	barStep   = 5
)

// newBar draws the activity of a webhook.
func newBar(a gateway.WebhookActivity) bar {
	b := bar{Width: len(a.Hours) * barStep, Height: barHeight}
	ok, failed := a.Totals()
	b.Words = fmt.Sprintf("last 24 hours: %d succeeded, %d failed", ok, failed)
	var most uint32
	for _, h := range a.Hours {
		most = max(most, h.Succeeded+h.Failed)
	}
	for i, h := range a.Hours {
		b.Columns = append(b.Columns, newColumn(i*barStep, barStep-1, barHeight, uint64(h.Succeeded), uint64(h.Failed), uint64(most)))
	}
	return b
}

// newColumn draws two counts on top of each other. What is not zero can be
// seen.
func newColumn(x, width, height int, ok, failed, most uint64) column {
	c := column{X: x, Width: width}
	if most == 0 {
		return c
	}
	share := func(n uint64) int {
		if n == 0 {
			return 0
		}
		return max(2, int(n*uint64(height)/most))
	}
	c.OKHeight = min(share(ok), height)
	c.BadH = min(share(failed), height)
	if c.OKHeight+c.BadH > height {
		c.OKHeight = height - c.BadH
	}
	c.OKY = height - c.OKHeight
	c.BadY = c.OKY - c.BadH
	return c
}

// plot is a plot of the overview.
type plot struct {
	Columns []column
	Lines   []line
	Width   int
	Height  int
	Top     string // what the upper edge stands for
	Left    string // when the left edge was
	Words   string // the plot in words
	Empty   bool
}

// line is a polyline.
type line struct{ Class, Points string }

const (
	plotColumns = 96 // of a quarter of an hour each
	plotStep    = 8
	plotWidth   = plotColumns * plotStep
	plotHeight  = 140
)

// attemptsPlot draws how many attempts succeeded and failed over the last day.
func attemptsPlot(minutes []gateway.Minute) plot {
	p := plot{Width: plotWidth, Height: plotHeight, Left: "24 h ago"}
	var ok, failed, most uint64
	quarters := make([][2]uint64, plotColumns)
	for i := range minutes {
		q := &quarters[i*plotColumns/len(minutes)]
		q[0] += uint64(minutes[i].Succeeded)
		q[1] += uint64(minutes[i].Failed)
	}
	for _, q := range quarters {
		ok, failed, most = ok+q[0], failed+q[1], max(most, q[0]+q[1])
	}
	for i, q := range quarters {
		p.Columns = append(p.Columns, newColumn(i*plotStep, plotStep-1, plotHeight, q[0], q[1], most))
	}
	p.Empty = ok+failed == 0
	p.Top = fmt.Sprintf("%s in 15 min", countText(int64(most)))
	p.Words = fmt.Sprintf("Attempts of the last 24 hours: %d succeeded, %d failed", ok, failed)
	return p
}

// successRate returns the share of the attempts that succeeded, in words.
func successRate(minutes []gateway.Minute) string {
	var ok, all uint64
	for i := range minutes {
		ok += uint64(minutes[i].Succeeded)
		all += uint64(minutes[i].Succeeded) + uint64(minutes[i].Failed)
	}
	if all == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", float64(ok)/float64(all)*100)
}

// latencyPlot draws the median and the 95th percentile of how long attempts
// took. Its scale is logarithmic: one class of gateway.LatencyBounds is one
// step.
func latencyPlot(minutes []gateway.Minute) plot {
	p := plot{Width: plotWidth, Height: plotHeight, Left: "24 h ago", Empty: true}
	const classes = len(gateway.LatencyBounds) + 1
	quarters := make([][classes]uint64, plotColumns)
	var day [classes]uint64
	for i := range minutes {
		for class, n := range minutes[i].Took {
			quarters[i*plotColumns/len(minutes)][class] += uint64(n)
			day[class] += uint64(n)
		}
	}
	var median, slow []string
	for i := range quarters {
		if class, ok := percentile(quarters[i][:], 50); ok {
			p.Empty = false
			median = append(median, stair(i, latencyY(class, classes)))
			class, _ = percentile(quarters[i][:], 95)
			slow = append(slow, stair(i, latencyY(class, classes)))
		}
	}
	p.Lines = []line{{"median", strings.Join(median, " ")}, {"slow", strings.Join(slow, " ")}}
	p.Top = "over " + durationWords(gateway.LatencyBounds[len(gateway.LatencyBounds)-1])
	p.Words = "Time to answer over the last 24 hours: half within " + latencyWords(day[:], 50) + ", 95 % within " + latencyWords(day[:], 95)
	return p
}

// stair returns the points of one column of a line, which can be seen also where
// its neighbours have none.
func stair(i, y int) string {
	return fmt.Sprintf("%d,%d %d,%d", i*plotStep, y, (i+1)*plotStep-1, y)
}

func latencyY(class, classes int) int { return plotHeight - 4 - class*(plotHeight-8)/(classes-1) }

// percentile returns the class that holds a percentile.
func percentile(counts []uint64, percent uint64) (class int, ok bool) {
	var all, sum uint64
	for _, n := range counts {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	for class, n := range counts {
		if sum += n; sum*100 >= all*percent {
			return class, true
		}
	}
	return len(counts) - 1, true
}

func latencyWords(counts []uint64, percent uint64) string {
	class, ok := percentile(counts, percent)
	switch {
	case !ok:
		return "–"
	case class < len(gateway.LatencyBounds):
		return durationWords(gateway.LatencyBounds[class])
	default:
		return "more than " + durationWords(gateway.LatencyBounds[class-1])
	}
}

// ago says how long ago something was, in words.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return durationWords(max(0, now.Sub(t)))
}
