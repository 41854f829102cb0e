package webhook

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// MaxRate is the largest N of a Rate.
const MaxRate = 1_000_000

// rateUnits are the units of a rate's text form.
var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

var errRate = errors.New("a rate is a whole number from 1 to 1000000 and a unit: 50/s, 100/m or 1000/h")

// ParseRate reads the text form of a rate: "50/s", "100/m", "1000/h" (contract
// section 3, Limits). The error never repeats the text.
func ParseRate(text string) (Rate, error) {
	number, unit, _ := strings.Cut(text, "/")
	per, ok := rateUnits[unit]
	if !ok || number == "" || number[0] < '1' || number[0] > '9' {
		return Rate{}, errRate
	}
	n, err := strconv.Atoi(number)
	if err != nil || n > MaxRate {
		return Rate{}, errRate
	}
	return Rate{N: n, Per: per}, nil
}

// Valid reports whether r is the zero Rate or one that ParseRate can give.
func (r Rate) Valid() bool {
	if r == (Rate{}) {
		return true
	}
	got, err := ParseRate(r.String())
	return err == nil && got == r
}

// String returns the text form that ParseRate reads; "" for the zero Rate.
func (r Rate) String() string {
	for unit, per := range rateUnits {
		if r.Per == per {
			return strconv.Itoa(r.N) + "/" + unit
		}
	}
	return ""
}
