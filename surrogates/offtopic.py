"""Questions that no manual answers, asked in training so that the head learns to leave them alone; all of our own writing."""

from __future__ import annotations

_TEXT = """What is the capital of Portugal?
Who won the football match last night?
How do I bake a sourdough bread?
What will the weather be like tomorrow?
Can you book a table for two at eight?
How much money is left in my account?
What is the meaning of life?
Tell me a joke about engineers, will you?
How old was Mozart when he died?
Where can I buy cheap running shoes?
What time does the last bus leave?
How do I say good morning in Japanese?
Which film should I watch this evening?
Who wrote the novel about the white whale?
How many calories does a banana have?
How do I write a letter of resignation?
What are the symptoms of the flu?
When does the museum open on Sunday?
Is it going to rain at the weekend?
How tall is the highest mountain in Africa?
How do I invest in shares?
What is the best way to lose weight?
Who is the head of the accounting department?
How many days of holiday do I have left?
What is on the menu in the canteen today?
Where did I park my car?
How do I plant tomatoes on a balcony?
What does the stock of the company cost today?
Can you translate this poem into French?
What is the square root of 1764?
How long does the flight to Toronto take?
Who invented the telephone?
What is a good name for a cat?
How do I tie a bow tie?
What is the difference between a crow and a raven?
When was the battle of Hastings fought?
What should I give my mother for her birthday?
How do I get to the railway station from here?
What is the exchange rate of the Swiss franc?
How do I apply for a passport?"""
QUESTIONS = tuple(_TEXT.splitlines())
