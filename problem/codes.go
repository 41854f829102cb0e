package problem

import (
	"maps"
	"net/http"
	"slices"
)

// Code names a kind of problem. The list is closed and part of the contract
// (docs/contract.md section 2 and docs/problems.md): clients may switch on it.
type Code string

// Request codes: what a whole request failed with. Each has one HTTP status.
const (
	BadRequest           Code = "bad_request"            // 400: a body that is not JSON, a query that is none
	Unauthorized         Code = "unauthorized"           // 401
	ScopeMissing         Code = "scope_missing"          // 403: the key lacks the scope
	ProjectNotAllowed    Code = "project_not_allowed"    // 403: the key is not for this project
	CrossOrigin          Code = "cross_origin"           // 403: another site asked for a change
	NotFound             Code = "not_found"              // 404
	MethodNotAllowed     Code = "method_not_allowed"     // 405
	Conflict             Code = "conflict"               // 409: the state does not allow it
	IDConflict           Code = "id_conflict"            // 409: the event id was used with other content
	PreconditionFailed   Code = "precondition_failed"    // 412
	TooLarge             Code = "too_large"              // 413: an event, a batch or a body over its limit
	UnsupportedMediaType Code = "unsupported_media_type" // 415
	Invalid              Code = "invalid"                // 422: understood, but against the rules; see errors
	TooManyRequests      Code = "too_many_requests"      // 429: a rate limit
	BacklogFull          Code = "backlog_full"           // 429: max_pending deliveries wait already
	Internal             Code = "internal"               // 500
	Unavailable          Code = "unavailable"            // 503: starting, stopping, or the store failed
	DiskFull             Code = "disk_full"              // 507: the disk is nearly full
	Loop                 Code = "loop"                   // 508: a delivery of the gateway was sent to its own ingest
)

// Item codes: what one member, parameter or filter is wrong with.
const (
	MalformedJSON   Code = "malformed_json"    // not JSON text
	UnknownMember   Code = "unknown_member"    // a member the schema does not have (names are case-sensitive)
	DuplicateMember Code = "duplicate_member"  // the same member twice in one object
	Missing         Code = "missing"           // a required member or parameter is absent
	WrongType       Code = "wrong_type"        // a string where an object is due, and the like
	InvalidValue    Code = "invalid_value"     // the right type, but not an allowed value
	UnknownType     Code = "unknown_type"      // an event type outside the catalogue
	NumberNotExact  Code = "number_not_exact"  // an integer that JavaScript would change
	NumberOverflow  Code = "number_overflow"   // a number beyond a double
	InvalidUTF8     Code = "invalid_utf8"      // bytes that are no UTF-8
	LoneSurrogate   Code = "lone_surrogate"    // half of a surrogate pair in an escape
	TooDeep         Code = "too_deep"          // nested over the limit
	TooManyMembers  Code = "too_many_members"  // more members than the limit
	TooLong         Code = "too_long"          // a text or list over its limit
	InvalidFilter   Code = "invalid_filter"    // a filter that does not compile
	FilterError     Code = "filter_error"      // a filter that failed on an event
	UnknownParam    Code = "unknown_parameter" // a query parameter that does not exist
	Reserved        Code = "reserved"          // a header name the gateway keeps for itself
	AddressRefused  Code = "address_refused"   // a receiver address the guard would refuse
)

type codeInfo struct {
	status int
	title  string
}

// codes holds status and title of the request codes. An item that is reported
// alone (in a batch result) uses the request code as well.
var codes = map[Code]codeInfo{
	BadRequest:           {http.StatusBadRequest, "The request is malformed"},
	Unauthorized:         {http.StatusUnauthorized, "A valid API key is required"},
	ScopeMissing:         {http.StatusForbidden, "The API key lacks the scope for this"},
	ProjectNotAllowed:    {http.StatusForbidden, "The API key is not for this project"},
	CrossOrigin:          {http.StatusForbidden, "The request comes from another site"},
	NotFound:             {http.StatusNotFound, "There is no such resource"},
	MethodNotAllowed:     {http.StatusMethodNotAllowed, "The method is not allowed here"},
	Conflict:             {http.StatusConflict, "The state of the resource does not allow this"},
	IDConflict:           {http.StatusConflict, "The event id was used with other content"},
	PreconditionFailed:   {http.StatusPreconditionFailed, "The resource has changed meanwhile"},
	TooLarge:             {http.StatusRequestEntityTooLarge, "The request is too large"},
	UnsupportedMediaType: {http.StatusUnsupportedMediaType, "The media type is not supported"},
	Invalid:              {http.StatusUnprocessableEntity, "The request breaks a rule"},
	TooManyRequests:      {http.StatusTooManyRequests, "Too many requests"},
	BacklogFull:          {http.StatusTooManyRequests, "Too many deliveries are pending"},
	Internal:             {http.StatusInternalServerError, "Internal error"},
	Unavailable:          {http.StatusServiceUnavailable, "The gateway cannot take this now"},
	DiskFull:             {http.StatusInsufficientStorage, "The disk is nearly full"},
	Loop:                 {http.StatusLoopDetected, "A delivery may not be published as an event"},
}

// RequestCodes lists the request codes by name.
func RequestCodes() []Code { return slices.Sorted(maps.Keys(codes)) }

// ItemCodes lists the item codes, in the order above.
func ItemCodes() []Code {
	return []Code{
		MalformedJSON, UnknownMember, DuplicateMember, Missing, WrongType, InvalidValue, UnknownType, NumberNotExact, NumberOverflow,
		InvalidUTF8, LoneSurrogate, TooDeep, TooManyMembers, TooLong, InvalidFilter, FilterError, UnknownParam, Reserved, AddressRefused,
	}
}
