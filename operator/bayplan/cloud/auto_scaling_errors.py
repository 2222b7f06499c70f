"""What a call to EC2 Auto Scaling may end with, besides an answer."""


class CloudError(Exception):
    """The call did nothing that we know of; the message is AWS's."""


class ThrottledError(CloudError):
    """AWS wants fewer calls; nothing was done."""


class RefusedError(CloudError):
    """AWS has refused the call; nothing was done."""


class BusyError(CloudError):
    """Another call about the same group is under way; nothing was done, and later it may be."""


class UnsupportedError(CloudError):
    """The API, or the boto3 that is installed, does not have this call."""


class UnansweredError(CloudError):
    """Nobody knows whether it was done."""
