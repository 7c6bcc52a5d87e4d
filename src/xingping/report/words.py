"""stub"""


def faithfulness(m, folder):
    return None


def moving_words(m, folder):
    return None


def reliability(test, folder):
    return None
