package handshake

const (
	secret42  = "5ce06e46867de8252365147b667f1c20"
	secretMax = "5dfd181e69aa587cc812eb333e6536b6"
)
