package problem_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/problem"
)

func TestPointersAreWrittenAsTheRFCHasThem(t *testing.T) {
	for _, tc := range []struct {
		names []string
		want  string
	}{
		{nil, "#"},
		{[]string{""}, "#/"},
		{[]string{"foo", "0"}, "#/foo/0"},
		{[]string{"a/b"}, "#/a~1b"},
		{[]string{"c%d"}, "#/c%25d"},
		{[]string{"e^f"}, "#/e%5Ef"},
		{[]string{"g|h"}, "#/g%7Ch"},
		{[]string{`i\j`}, "#/i%5Cj"},
		{[]string{`k"l`}, "#/k%22l"},
		{[]string{" "}, "#/%20"},
		{[]string{"m~n"}, "#/m~0n"},
		{[]string{"~1", "ü#"}, "#/~01/%C3%BC%23"},
		{[]string{"a!b?c"}, "#/a!b?c"},
	} {
		if got := problem.Pointer(tc.names...); got != tc.want {
			t.Errorf("Pointer(%q) = %s, want %s", tc.names, got, tc.want)
		}
	}
	if got := problem.PointerNames(""); got != nil {
		t.Errorf("names of no pointer: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.String()).Draw(t, "names")
		if got := problem.PointerNames(problem.Pointer(names...)); !slices.Equal(got, names) {
			t.Errorf("%q is written %s and read as %q", names, problem.Pointer(names...), got)
		}
	})
}
