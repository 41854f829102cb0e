package webhook_test

import (
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestRatesReadWhatTheyWrite(t *testing.T) {
	for text, want := range map[string]webhook.Rate{
		"1/s":       {N: 1, Per: time.Second},
		"50/s":      {N: 50, Per: time.Second},
		"100/m":     {N: 100, Per: time.Minute},
		"1000000/h": {N: 1_000_000, Per: time.Hour},
	} {
		got, err := webhook.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v, want %v", text, got, err, want)
		}
		if got.String() != text || !got.Valid() {
			t.Errorf("%v: text is %q (want %q), valid is %v", got, got, text, got.Valid())
		}
	}
}

func TestOtherTextsAreNoRates(t *testing.T) {
	for _, text := range []string{
		"", "/", "50", "/s", "50/", "50/d", "50/S", "0/s", "-1/s", "+1/s", "01/s", " 1/s", "1 /s", "1/s ", "1.5/s",
		"1000001/s", "99999999999999999999/s", "50/s/s", "1e3/s",
	} {
		if got, err := webhook.ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v, want an error", text, got)
		}
	}
}

func TestRateIsValidOnlyIfItCanBeWritten(t *testing.T) {
	if !(webhook.Rate{}).Valid() {
		t.Error("the zero Rate means no limit and is valid")
	}
	for _, r := range []webhook.Rate{
		{N: 1}, {Per: time.Second}, {N: -1, Per: time.Second}, {N: 1, Per: time.Millisecond}, {N: webhook.MaxRate + 1, Per: time.Second},
	} {
		if r.Valid() {
			t.Errorf("%#v is valid", r)
		}
	}
}
