package envelope

// For tests of what only Open can reach behind a seal.
var (
	ParseInner = parseInner
	ParsePlain = parsePlain
	Padmé      = padmé
)
