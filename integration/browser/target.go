package browser

// Target describes something on a page as people and screen readers know it: by
// its role and name, by its label, by its text. Where several fit, acting on it
// fails the test.
type Target struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name,omitempty"`  // with Role; in full. Empty: any
	Label string `json:"label,omitempty"` // of a field; in full
	Words string `json:"text,omitempty"`  // part of the text, whatever its case
	CSS   string `json:"css,omitempty"`   // a selector, for what people do not see

	Part   bool    `json:"part,omitempty"`   // Name or Label need only be contained
	Has    string  `json:"has,omitempty"`    // a text that it contains
	Nth    int     `json:"nth,omitempty"`    // which of those that fit, from 1
	Within *Target `json:"within,omitempty"` // what it is in
	Frame  string  `json:"frame,omitempty"`  // the selector of the frame that it is in
}

// Button is a button by its name.
func Button(name string) Target { return Target{Role: "button", Name: name} }

// Link is a link by its name.
func Link(name string) Target { return Target{Role: "link", Name: name} }

// Heading is a heading by its text.
func Heading(name string) Target { return Target{Role: "heading", Name: name} }

// Field is a field of a form by its label.
func Field(label string) Target { return Target{Label: label} }

// Text is the smallest element that contains a text.
func Text(text string) Target { return Target{Words: text} }

// CSS is whatever a selector finds.
func CSS(selector string) Target { return Target{CSS: selector} }

// Box is a box to tick or a radio button, by a part of its label.
func Box(label string) Target { return Target{Label: label, Part: true} }

// In narrows a target down to what is inside another.
func (t Target) In(outer Target) Target {
	t.Within = &outer
	return t
}

// With narrows a target down to one that contains a text.
func (t Target) With(text string) Target {
	t.Has = text
	return t
}

// Number narrows a target down to the nth that fits, from 1.
func (t Target) Number(n int) Target {
	t.Nth = n
	return t
}

// InFrame moves a target into the frame that a selector finds.
func (t Target) InFrame(selector string) Target {
	t.Frame = selector
	return t
}
