"""What is to be known of somebody's answers before he is asked any: read with the rest of what a person has."""

from wardgate.values import quick_value


@quick_value
class Answered:
    """`enough`: he has answered as many questions as are asked. `due`: he has to set answers, or set them anew. `closed`: too many
    rounds were wrong, which he is not told.
    """

    enough: bool = False
    due: bool = False
    closed: bool = False


NOT_ANSWERED = Answered()
