package webhook_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

const (
	good    = `{"type":"api_key.created","project_id":"p","id":"evt_good","data":{"n":1.0}}`
	bad     = `{"type":"api_key.created","project_id":"p","id":"evt_bad","data":{"n":1e999},"x":0}`
	notJSON = `{"type":}`
)

func TestArrayJudgesEachEvent(t *testing.T) {
	in := &webhook.Intake{}
	items, err := in.Array([]byte(" [" + good + " ,\n" + bad + ",5 , " + good + "] "))
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 4 {
		t.Fatalf("got %d items, want 4", len(items))
	}
	for _, i := range []int{0, 3} {
		if items[i].Err != nil || string(items[i].Data) != `{"n":1}` || items[i].ID != "evt_good" {
			t.Errorf("item %d: got %+v", i, items[i])
		}
	}
	wantItems(t, items[1].Err, problem.Invalid, []problem.Item{{Code: problem.NumberOverflow, Pointer: "#/data/n"}, {Code: problem.UnknownMember, Pointer: "#/x"}})
	if items[1].ID != "evt_bad" {
		t.Errorf("the refused item has id %q", items[1].ID)
	}
	wantItems(t, items[2].Err, problem.Invalid, []problem.Item{{Code: problem.WrongType, Pointer: "#"}})
}

func TestArrayCountsDepthFromTheEvent(t *testing.T) {
	nested := func(levels int) string {
		return `{"type":"api_key.created","project_id":"p","data":` + strings.Repeat(`{"a":`, levels-2) + "{}" + strings.Repeat("}", levels-2) + "}"
	}
	items, err := (&webhook.Intake{}).Array([]byte("[" + nested(64) + "," + nested(65) + "," + good + "]"))
	if err != nil {
		t.Fatal(err)
	}
	if items[0].Err != nil || items[2].Err != nil {
		t.Errorf("got %v, %v", items[0].Err, items[2].Err)
	}
	wantItems(t, items[1].Err, problem.Invalid, []problem.Item{{Code: problem.TooDeep, Pointer: "#/data" + strings.Repeat("/a", 63)}})
}

func TestArrayGoesOnBehindAnEventThatIsFarTooDeep(t *testing.T) {
	in := &webhook.Intake{MaxBatchSize: 4 << 20}
	const open = `{"id":"evt_deep","type":"api_key.created","project_id":"p","data":{"a":`
	for _, levels := range []int{10_000, 20_000, 1_000_000} {
		deep := open + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "}}"
		items, err := in.Array([]byte("[" + good + "," + deep + "," + good + "]"))
		if err != nil {
			t.Fatal(err)
		}
		if items[0].Err != nil || items[2].Err != nil {
			t.Errorf("got %v, %v", items[0].Err, items[2].Err)
		}
		if len(deep) <= webhook.DefaultMaxSize {
			wantItems(t, items[1].Err, problem.Invalid, []problem.Item{{Code: problem.TooDeep, Pointer: "#/data/a" + strings.Repeat("/0", 62)}})
		} else {
			wantItems(t, items[1].Err, problem.TooLarge, []problem.Item{})
		}

		_, err = in.Array([]byte("[" + good + "," + open + strings.Repeat("[", levels) + "oops"))
		at := int64(len(good) + len(open) + levels + 2)
		wantItems(t, err, problem.BadRequest, []problem.Item{{Code: problem.MalformedJSON, Offset: &at}})
	}
}

func TestArrayGoesOnBehindAnEventWithTooManyMembers(t *testing.T) {
	for _, last := range []string{`[]`, strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000)} {
		crowded := `{"data":{` + strings.Repeat(`"x":{},`, 10_001) + `"y":` + last + `}}`
		items, err := (&webhook.Intake{}).Array([]byte("[" + crowded + "," + good + "]"))
		if err != nil {
			t.Fatal(err)
		}
		wantItems(t, items[0].Err, problem.Invalid, []problem.Item{{Code: problem.TooManyMembers, Pointer: "#"}})
		if items[1].Err != nil {
			t.Error(items[1].Err)
		}
	}
}

func TestArrayRefusesTheWholeBody(t *testing.T) {
	in := &webhook.Intake{MaxBatch: 3, MaxBatchSize: 1000, MaxSize: 200}
	tests := []struct {
		name, body string
		code       problem.Code
		offset     int64 // -1: none
	}{
		{"syntax in an event", "[" + good + "," + notJSON + "]", problem.BadRequest, int64(len(good) + 10)},
		{"cut off", "[" + good, problem.BadRequest, int64(len(good) + 1)},
		{"trailing comma", "[" + good + ",]", problem.BadRequest, int64(len(good) + 1)},
		{"missing comma", "[" + good + good + "]", problem.BadRequest, int64(len(good) + 1)},
		{"more behind", "[" + good + "]]", problem.BadRequest, int64(len(good) + 2)},
		{"byte order mark", "\xEF\xBB\xBF[]", problem.BadRequest, 0},
		{"empty body", "", problem.BadRequest, 0},
		{"an object", good, problem.Invalid, -1},
		{"too many events", "[1,2,3,4]", problem.TooLarge, -1},
		{"too many bytes", "[" + strings.Repeat(" ", 1000) + "]", problem.TooLarge, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := in.Array([]byte(tt.body))
			pe, ok := errors.AsType[*problem.Error](err)
			if !ok || pe.Code != tt.code {
				t.Fatalf("got %v, want %s", err, tt.code)
			}
			if tt.offset >= 0 && (len(pe.Items) != 1 || *pe.Items[0].Offset != tt.offset) {
				t.Errorf("got items %+v at %d, want one with offset %d", pe.Items, *pe.Items[0].Offset, tt.offset)
			}
		})
	}
}

func TestArrayRefusesAnEventThatIsTooLargeAlone(t *testing.T) {
	in := &webhook.Intake{MaxSize: 200}
	items, err := in.Array([]byte("[" + good + "  , " + string(padTo(201, `{"type":"api_key.created","data":"%s"}`)) + "," + good + "]"))
	if err != nil {
		t.Fatal(err)
	}
	wantItems(t, items[1].Err, problem.TooLarge, []problem.Item{})
	if items[0].Err != nil || items[2].Err != nil {
		t.Errorf("got %v, %v", items[0].Err, items[2].Err)
	}
}

func TestRefusedEventsAreKnownByWhatIsSound(t *testing.T) {
	crowded := `{` + strings.Repeat(`"x":{},`, 10_001) + `"y":[]}`
	for name, tt := range map[string]struct {
		event, id, project string
		maxSize            int // zero: the default
	}{
		"malformed type":                      {`{"id":"e","type":"Bad","project_id":"p","data":{}}`, "e", "p", 0},
		"project with members":                {`{"id":"e","type":"Bad","project":{"n":1,"id":"p"},"data":{}}`, "e", "p", 0},
		"too large":                           {`{"data":{"x":"` + strings.Repeat("x", 200) + `"},"id":"e","type":"api_key.created","project_id":"p"}`, "e", "p", 100},
		"too large, malformed":                {`{"data":{"x":"` + strings.Repeat("x", 200) + `"},"id":"e!","type":"Bad","project_id":"p!"}`, "", "", 100},
		"too large once canonical":            {`{"data":{"x":[1e20,1e20,1e20,1e20]},"id":"e","type":"api_key.created","project_id":"p"}`, "e", "p", 90},
		"too many members":                    {`{"id":"e","type":"api_key.created","project_id":"p","data":` + crowded + `}`, "e", "p", 0},
		"too many members before the id":      {`{"data":` + crowded + `,"type":"api_key.created","project_id":"p","id":"e"}`, "e", "p", 0},
		"too many members of the project":     {`{"id":"e","type":"api_key.created","project":` + crowded + `,"data":{}}`, "e", "", 0},
		"too many members before the project": {`{"data":` + crowded + `,"project":{"id":"p"},"id":"e"}`, "e", "", 0},
		"too many members deep":               {`{"data":{"a":[{"b":` + crowded + `}]},"project_id":"p","id":"e"}`, "e", "p", 0},
		"too many members of its own":         {`{"id":"e","project_id":"p",` + crowded[1:], "", "", 0},
		"too deep":                            {`{"data":{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `},"project_id":"p","id":"e"}`, "e", "p", 0},
		"an id twice":                         {`{"id":"e","id":"f","project_id":"p"}`, "", "p", 0},
		"malformed id":                        {`{"id":"e f","project_id":"p"}`, "", "p", 0},
		"malformed project_id":                {`{"id":"e","project":{"id":"q"},"project_id":"p q"}`, "e", "", 0},
		"project_id of another type":          {`{"id":"e","project":{"id":"q"},"project_id":7}`, "e", "", 0},
		"projects that disagree":              {`{"id":"e","project":{"id":"q"},"project_id":"p"}`, "e", "", 0},
		"project of data":                     {`{"id":"e","type":"project.exploded","data":{"id":"p"}}`, "e", "p", 0},
		"default project":                     {`{"id":"e","type":"Bad","data":{"id":"p"}}`, "e", "main", 0},
		"default project without a type":      {`{"id":"e","data":{"id":"p"}}`, "e", "", 0},
		"default project without data":        {`{"id":"e","type":"project.created"}`, "e", "", 0},
		"default project, too many members":   {`{"id":"e","type":"project.created","data":` + crowded + `}`, "e", "", 0},
		"no object":                           {`[{"id":"e","project_id":"p"}]`, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := &webhook.Intake{DefaultProject: "main", MaxSize: tt.maxSize}
			items, err := in.Array([]byte("[" + tt.event + "]"))
			if err != nil {
				t.Fatal(err)
			}
			lines, err := in.Lines([]byte(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []webhook.Item{items[0], lines[0]} {
				if got.Err == nil {
					t.Fatal("the event was taken")
				}
				wantInput(t, got.Input, webhook.Input{ID: tt.id, ProjectID: tt.project})
			}
			if tt.maxSize > 0 && tt.maxSize < len(tt.event) {
				return // one event is not read then
			}
			input, err := in.One([]byte(tt.event))
			if problem.From(err).Code != items[0].Err.Code {
				t.Errorf("alone: %v, in a batch: %v", err, items[0].Err)
			}
			wantInput(t, input, webhook.Input{ID: tt.id, ProjectID: tt.project})
		})
	}
}

func TestArrayMayBeEmpty(t *testing.T) {
	items, err := (&webhook.Intake{}).Array([]byte(" [ ] "))
	if err != nil || len(items) != 0 {
		t.Errorf("got %v, %v", items, err)
	}
}

func TestLinesJudgesEachLine(t *testing.T) {
	items, err := (&webhook.Intake{}).Lines([]byte("\n" + good + "\r\n \t\n" + bad + "\n5\n" + good))
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 4 {
		t.Fatalf("got %d items, want 4", len(items))
	}
	if items[0].Err != nil || items[3].Err != nil {
		t.Errorf("got %v, %v", items[0].Err, items[3].Err)
	}
	wantItems(t, items[1].Err, problem.Invalid, []problem.Item{{Code: problem.NumberOverflow, Pointer: "#/data/n", Line: 4}, {Code: problem.UnknownMember, Pointer: "#/x", Line: 4}})
	wantItems(t, items[2].Err, problem.Invalid, []problem.Item{{Code: problem.WrongType, Pointer: "#", Line: 5}})
}

func TestLinesTellsTheLineThatIsNotJSON(t *testing.T) {
	for name, tt := range map[string]struct {
		body         string
		line, offset int
	}{
		"in the middle":     {good + "\n\n" + notJSON + "\n" + good, 3, len(good) + 2 + 8},
		"across two lines":  {"{\"type\":\n\"x\"}", 1, 8},
		"two on a line":     {good + "\n" + good + good, 2, 2*len(good) + 1},
		"byte order mark":   {"\xEF\xBB\xBF" + good, 1, 0},
		"an array's commas": {good + ",\n" + good, 1, len(good)},
		"behind a tab":      {"\n\t " + notJSON + " \r\n", 2, 3 + 8},
		"a form feed":       {good + "\n\f\n" + good, 2, len(good) + 1},
		"a vertical tab":    {good + "\n\v\r\n" + good, 2, len(good) + 1},
		"a no-break space":  {good + "\n \u00a0\n" + good, 2, len(good) + 2},
		"a next line":       {"\u0085\n" + good, 1, 0},
		"an em space":       {good + "\n\u2003", 2, len(good) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&webhook.Intake{}).Lines([]byte(tt.body))
			at := int64(tt.offset)
			wantItems(t, err, problem.BadRequest, []problem.Item{{Code: problem.MalformedJSON, Line: tt.line, Offset: &at}})
		})
	}
}

func TestLinesLimits(t *testing.T) {
	in := &webhook.Intake{MaxBatch: 2, MaxBatchSize: 1000, MaxSize: 200}
	_, err := in.Lines([]byte("1\n2\n\n3\n"))
	wantItems(t, err, problem.TooLarge, []problem.Item{})
	_, err = in.Lines([]byte(strings.Repeat("\n", 1001)))
	wantItems(t, err, problem.TooLarge, []problem.Item{})
	items, err := in.Lines([]byte(good + "\n" + string(padTo(201, `{"type":"api_key.created","data":"%s"}`)) + "\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if items[0].Err != nil {
		t.Error(items[0].Err)
	}
	wantItems(t, items[1].Err, problem.TooLarge, []problem.Item{})
	for size, taken := range map[int]bool{200: true, 201: false} {
		items, err = in.Lines([]byte(good + "\r\n \t" + string(padTo(size, `{"type":"api_key.created","project_id":"p","data":{"x":"%s"}}`)) + " \r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if (items[1].Err == nil) != taken {
			t.Errorf("a line of %d bytes with white space around: %v", size, items[1].Err)
		}
	}
}

func TestIsArray(t *testing.T) {
	for _, body := range []string{"[]", " \r\n\t[", "[x"} {
		if !webhook.IsArray([]byte(body)) {
			t.Errorf("%q is no array", body)
		}
	}
	for _, body := range []string{"", " ", "{}", "x[", "\ufeff[]"} {
		if webhook.IsArray([]byte(body)) {
			t.Errorf("%q is an array", body)
		}
	}
}
